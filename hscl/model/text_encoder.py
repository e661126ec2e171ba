"""Words -> token ids -> vectors, through any BERT-class encoder that `transformers` can load.

Nothing is downloaded unless `HF_HUB_OFFLINE=0` is set: an encoder named on the Hugging Face hub
must otherwise be in its cache already. `transformers` says nothing while it loads: what a user can
act on becomes an `InputError`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from hscl.config import TextConfig
from hscl.data.ragged import Ragged
from hscl.encoders import ResolvedEncoder, check_shape, resolve_encoder
from hscl.errors import InputError
from hscl.model.length_groups import in_length_groups
from hscl.model.packing import encode_packed, packing_for, prepare_for_packing

__all__ = [
    "TextEncoder",
    "check_vocabulary",
    "load_text_encoder",
    "load_tokenizer",
    "quiet_transformers",
    "text_width",
    "tokenize",
]

_AFTER_PADDING = {
    "camembert",
    "data2vec-text",
    "ibert",
    "lilt",
    "longformer",
    "luke",
    "markuplm",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
}
"""RoBERTa's family: a text's positions begin after that of padding, so that it has fewer."""


class TextEncoder(nn.Module):
    """A pretrained encoder's last hidden state.

    Attributes:
        width: d_t, size of a token's vector.
    """

    def __init__(self, model: "transformers.PreTrainedModel", width: int) -> None:
        """Wrap an encoder.

        Args:
            model: A `transformers` encoder.
            width: Its hidden size.
        """
        super().__init__()
        self.width = width
        self.model = model
        self._packs = prepare_for_packing(model)

    def forward(
        self,
        token_ids: Tensor,
        lengths: Tensor,
        *,
        padding: bool = False,
        known: Tensor | None = None,
    ) -> Tensor:
        """Encode B texts.

        Args:
            token_ids: (B, L) int64, padded at the end.
            lengths: (B,) real tokens of each, at least 1.
            padding: Whether what stands at padded places must be the encoder's output there, for
                attention that looks at it; else it means nothing.
            known: The lengths on the CPU, where they are known there.

        Returns:
            E_t, (B, L, d_t).
        """
        if self._packs and not padding:
            known = lengths if known is None else known
            packing = packing_for(known, token_ids.shape[1], token_ids.device)
            if packing is not None:
                return encode_packed(self.model, token_ids, packing)
        # Looked up for the whole batch: a gradient as large as the vocabulary is made only once.
        embedded = self.model.get_input_embeddings()(token_ids)
        if padding:
            return self._encode(embedded, lengths)
        return in_length_groups(self._encode, embedded, lengths)

    def _encode(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(embedded.shape[1], device=embedded.device) < lengths[:, None]
        # Numbers, as a tokenizer gives them: XLNet computes with its mask.
        states: Tensor = self.model(
            inputs_embeds=embedded, attention_mask=mask.long()
        ).last_hidden_state
        return states


def load_text_encoder(config: TextConfig, *, pretrained: bool = True) -> TextEncoder:
    """Load a text encoder, on the CPU, in training mode.

    Args:
        config: Which encoder, and how many tokens it must take.
        pretrained: Read its weights; else only its shape, for weights that come from elsewhere.

    Returns:
        The encoder, without the pooling layer that nothing here uses.

    Raises:
        InputError: It can't be found, is no whole model, or takes fewer tokens than `max_tokens`.
    """
    found = resolve_encoder(config.encoder)
    settings = _load_settings(found)
    longest = _most_tokens(settings)
    if longest is not None and config.max_tokens > longest:
        raise InputError(
            f"model.text.max_tokens must be at most {longest}, the most that {found.name!r} "
            f"takes, but got {config.max_tokens}"
        )
    with _loading(found):
        if pretrained:
            model, report = transformers.AutoModel.from_pretrained(
                found.location,
                local_files_only=_offline(),
                trust_remote_code=False,
                output_loading_info=True,
                dtype=torch.float32,
            )
            lacking = sorted(k for k in report["missing_keys"] if not k.startswith("pooler."))
        else:
            model = transformers.AutoModel.from_config(  # type: ignore[no-untyped-call]
                settings, trust_remote_code=False
            )
            lacking = []
    if lacking:
        raise InputError(
            f"the text encoder {found.name!r} must come with all its weights, but "
            f"{len(lacking)} are not in its files, such as {lacking[0]!r}; save it again with "
            "model.save_pretrained(…)"
        )
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return TextEncoder(model.train(), settings.hidden_size)


def text_width(config: TextConfig) -> int:
    """Width d_t of a text encoder's vectors, without loading its weights.

    Args:
        config: Which encoder.

    Returns:
        Its hidden size.

    Raises:
        InputError: The encoder can't be found or is none.
    """  # noqa: DOC502 - raised by the resolver
    width: int = _load_settings(resolve_encoder(config.encoder)).hidden_size
    return width


def check_vocabulary(config: TextConfig) -> None:
    """Refuse a tokenizer whose ids are beyond its encoder's vocabulary.

    Args:
        config: Which encoder.

    Raises:
        InputError: They are, or one of the two can't be read.
    """
    found = resolve_encoder(config.encoder)
    vocabulary = getattr(_load_settings(found), "vocab_size", None)
    ids = load_tokenizer(config.encoder).get_vocab().values()
    if vocabulary is not None and ids and not 0 <= min(ids) <= max(ids) < vocabulary:
        raise InputError(
            f"the tokenizer of {found.name!r} must give ids below {vocabulary}, its encoder's "
            f"vocabulary, but gives {max(ids)}; save both again"
        )


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a text encoder.

    Args:
        name: As in `model.text.encoder`.

    Returns:
        A `transformers` tokenizer.

    Raises:
        InputError: It can't be found or read.
    """  # noqa: DOC502 - raised by the resolver
    return _tokenizer(resolve_encoder(name))


def tokenize(words: Sequence[str | None], encoder: str, max_tokens: int) -> Ragged:
    """Turn words into token ids, once for all epochs.

    Args:
        words: N texts; None where an utterance has none.
        encoder: As in `model.text.encoder`.
        max_tokens: Longest result, special tokens included; the end is cut off.

    Returns:
        N sequences of int32 token ids, of length 0 where words are missing.

    Raises:
        InputError: The encoder's tokenizer can't be found or read.
    """  # noqa: DOC502 - raised by the resolver
    tokenizer = load_tokenizer(encoder)
    present = [text for text in words if text is not None]
    rows: list[list[int]] = []
    if present:
        rows = tokenizer(
            present,
            truncation=True,
            max_length=max_tokens,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
    lengths = np.zeros(len(words), dtype=np.int64)
    lengths[[text is not None for text in words]] = [len(row) for row in rows]
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    values = np.fromiter((token for row in rows for token in row), np.int32, count=offsets[-1])
    return Ragged(values, offsets)


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "1").lower() not in {"0", "false", "no", "off"}


def _load_settings(found: ResolvedEncoder) -> Any:
    with _loading(found):
        if found.digest is not None:
            check_shape(Path(found.location))
        settings = transformers.AutoConfig.from_pretrained(
            found.location, local_files_only=_offline(), trust_remote_code=False
        )
    if not isinstance(getattr(settings, "hidden_size", None), int):
        raise InputError(
            f"model.text.encoder must be a BERT-class encoder, but {found.name!r} "
            f"({settings.model_type}) has no hidden_size"
        )
    if settings.is_encoder_decoder:
        raise InputError(
            f"model.text.encoder must be a BERT-class encoder, but {found.name!r} "
            f"({settings.model_type}) has a decoder too; take an encoder, such as 'minilm'"
        )
    return settings


def _most_tokens(settings: Any) -> int | None:
    """The longest text that an encoder takes; None where it has no end (XLNet's is −1)."""
    positions: int | None = getattr(settings, "max_position_embeddings", None)
    if positions is None or positions <= 0:
        return None
    if settings.model_type in _AFTER_PADDING:
        return positions - 1 - (settings.pad_token_id or 0)
    return positions


@lru_cache(maxsize=4)
def _tokenizer(found: ResolvedEncoder) -> Any:
    with _loading(found):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            found.location, local_files_only=_offline(), trust_remote_code=False
        )
        # Without a vocabulary's file transformers makes an empty one, and every word is unknown.
        if len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise ValueError("the tokenizer has no vocabulary")
    return tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No advice and no progress bars of transformers inside."""
    verbosity = transformers_logging.get_verbosity()
    shows_progress = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shows_progress:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def _loading(found: ResolvedEncoder) -> Iterator[None]:
    """Keep transformers quiet, and turn what it raises into what to do.

    Raises:
        InputError: Something could not be loaded.
    """
    try:
        with quiet_transformers():
            yield
    except InputError:
        raise
    except BaseException as error:  # of transformers, safetensors, and Rust's panics
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if found.digest is None:
            raise InputError(
                f"the text encoder {found.name!r} must be in the Hugging Face cache of this "
                "machine, but could not be loaded from there; set HF_HUB_OFFLINE=0 to download "
                f"it, or give a folder or 'minilm' as model.text.encoder ({reason})"
            ) from error
        raise InputError(
            f"the text encoder {found.name!r} must be a folder that transformers can load, with "
            "config.json, weights and tokenizer, but it could not be read; save it again with "
            f"model.save_pretrained(…) and tokenizer.save_pretrained(…) ({reason})"
        ) from error
