"""`model.kind` -> the model that it names."""

from collections.abc import Callable

from torch import nn

from hscl.config import Config
from hscl.errors import InputError
from hscl.kinds.hierarchical import HsclModel
from hscl.kinds.lf_dnn import LfDnnModel
from hscl.kinds.misa import MisaModel
from hscl.kinds.mult import MultModel
from hscl.kinds.self_mm import SelfMmModel
from hscl.model.batch import Widths
from hscl.model.contract import SentimentModel
from hscl.registered import registered_model

__all__ = ["build_model"]

_KINDS: dict[str, Callable[[Config, Widths, nn.Module | None], SentimentModel]] = {
    "hscl": HsclModel,
    "lf-dnn": LfDnnModel,
    "mult": MultModel,
    "misa": MisaModel,
    "self-mm": SelfMmModel,
}


def build_model(
    config: Config, widths: Widths, text_encoder: nn.Module | None = None
) -> SentimentModel:
    """Make the model of a configuration; initial values come from torch's global generator.

    Args:
        config: Its `model.kind`, and what that kind reads.
        widths: Sizes of the inputs.
        text_encoder: A `hscl.model.text_encoder.TextEncoder`; None where batches bring frozen
            features instead of token ids.

    Returns:
        The model, on the CPU, in training mode.

    Raises:
        InputError: The configuration does not fit the data, such as a modality that is not there
            or a number of heads that does not divide its width; or a registered model is no
            `SentimentModel`.
    """
    kind = config.model.kind
    if kind in _KINDS:
        return _KINDS[kind](config, widths, text_encoder)
    found = registered_model(kind)
    if not issubclass(found.model, SentimentModel):
        raise InputError(
            f"the model {kind!r} of {found.package} must be a subclass of "
            f"hscl.model.contract.SentimentModel, but is {found.model!r}"
        )
    model: SentimentModel = found.model(config, widths, text_encoder)
    return model
