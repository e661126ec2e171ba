"""`model.kind = "hscl"`: the HSCL network with its hierarchical loss."""

from collections.abc import Mapping

from torch import Tensor, nn

from hscl.config import Config
from hscl.loss.hierarchy import hierarchical_loss
from hscl.model.batch import Widths
from hscl.model.contract import ModelOutput, Targets
from hscl.model.network import HsclNetwork, HsclOutput

__all__ = ["HsclModel"]


class HsclModel(HsclNetwork):
    """What `hscl.model.network` and `hscl.loss.hierarchy` describe, as one model."""

    def __init__(self, config: Config, widths: Widths, text_encoder: nn.Module | None) -> None:
        """Make the network; initial values come from torch's global generator.

        Args:
            config: Its `model` and `loss` are looked at.
            widths: Sizes of the inputs.
            text_encoder: None where batches bring frozen features instead of token ids.

        Raises:
            InputError: As `HsclNetwork`.
        """  # noqa: DOC502 - raised by the network
        super().__init__(config.model, widths, text_encoder)
        self._loss = config.loss

    def loss(self, output: ModelOutput, targets: Targets) -> Mapping[str, Tensor]:
        """The terms of `hscl.loss.hierarchy.LossTerms`.

        Args:
            output: What `forward` returned.
            targets: Of the same utterances.

        Returns:
            Scalars by name.

        Raises:
            TypeError: The output is another model's.
        """
        if not isinstance(output, HsclOutput):
            message = f"the loss of HSCL reads an HsclOutput, but got {type(output).__name__}"
            raise TypeError(message)
        return vars(hierarchical_loss(output, targets.labels, self._loss))
