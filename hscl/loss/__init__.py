"""The loss terms, each by itself, and their weighted sum.

Tensors only: no data set, no optimiser. `supcr_loss` is for anybody's regression, too.
"""

from hscl.loss.contrastive import supcr_loss

__all__ = ["supcr_loss"]
