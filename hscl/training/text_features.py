"""Words -> frozen features: encoded once for each data set and encoder, kept in an Arrow file.

Or the vectors that the data set brings along, which need neither encoder nor cache.

The files lie in `$HSCL_CACHE` (`~/.cache/hscl`). A file's name holds the digests of data set,
encoder and words, and of the kind of device that encoded them, so that it never goes stale. It is
written beside its name and then put in place at once; a lock lets two processes that want the same
features do the work once. On a GPU a process of its own encodes: what a process has once taken of
a GPU's memory, some hundred MiB for its context alone, it keeps to its end.
"""

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from hscl.config import TextConfig
from hscl.data.ragged import Ragged
from hscl.data.splits import Split
from hscl.encoders import encoder_identity
from hscl.errors import InputError, RunError
from hscl.files import cache_folder, one_at_a_time, whole_or_nothing
from hscl.model.text_encoder import TextEncoder, load_text_encoder, tokenize
from hscl.training.execution import choose_threads, cpu_threads

__all__ = ["encode_words", "frozen_features", "own_vectors"]

_COLUMN = "features"
_BLOCK = 2048  # utterances sorted by length at a time
_BATCH = 64  # utterances encoded at a time
_CPU = torch.device("cpu")


def frozen_features(
    split: Split, config: TextConfig, digest: str, device: torch.device = _CPU
) -> Ragged:
    """The last hidden states of a text encoder that is not trained.

    Args:
        split: Its words are encoded; labels are not looked at.
        config: Which encoder, and the most tokens of a text.
        digest: The data set's.
        device: Where to encode, in fp32.

    Returns:
        N sequences of float32 vectors (L, d_t), mapped from the cache's file; of length 0 where
        words are missing.

    Raises:
        InputError: The encoder can't be loaded, or the cache's folder can't be written.
        RunError: A GPU failed to encode.
    """  # noqa: DOC502 - RunError from the process that encodes
    identity = encoder_identity(config.encoder)
    words = _words_digest(split.words)
    how = f"{identity} {config.max_tokens}"
    if device.type != "cpu":  # a GPU rounds otherwise
        how += f" {device.type} fp32"
    encoder = hashlib.sha256(how.encode()).hexdigest()
    path = cache_folder() / f"text-{digest[:16]}-{encoder[:16]}-{words[:16]}.arrow"
    cached = _read(path)
    if cached is not None:
        return cached
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(path.with_suffix(".lock")):
            cached = _read(path)  # another process may have been faster
            if cached is None:
                encode = _encode_to if device.type == "cpu" else _encode_to_in_a_process
                encode(path, split.words, config, device)
                cached = _read(path)
    except OSError as error:
        raise InputError(
            f"frozen text features must be kept in {path.parent}, but it can't be used "
            f"({error.strerror or error}); set HSCL_CACHE to a folder with free space"
        ) from error
    if cached is None:
        raise InputError(f"{path} was written but can't be read; set HSCL_CACHE to a local folder")
    return cached


def encode_words(
    words: Sequence[str | None], config: TextConfig, device: torch.device = _CPU
) -> Ragged:
    """As `frozen_features`, in memory and kept nowhere: for words that come once.

    Args:
        words: N texts; None where an utterance has none.
        config: Which encoder, and the most tokens of a text.
        device: Where to encode, in fp32.

    Returns:
        N sequences of float32 vectors (L, d_t), of length 0 where words are missing.

    Raises:
        InputError: The encoder can't be loaded.
    """  # noqa: DOC502 - raised by the loader
    tokens = tokenize(words, config.encoder, config.max_tokens)
    encoder = load_text_encoder(config).eval().to(device)
    vectors = np.zeros((int(tokens.offsets[-1]), encoder.width), np.float32)
    with cpu_threads(choose_threads(0, finetunes=True)):
        _encode_block(encoder, tokens, range(len(tokens)), vectors)
    return Ragged(vectors, tokens.offsets)


def own_vectors(split: Split, max_tokens: int) -> Ragged:
    """The text vectors that the data set brings along.

    Args:
        split: As opened.
        max_tokens: The most vectors of an utterance; the end is cut off.

    Returns:
        N sequences of float32 vectors (L, d_t), of length 0 where an utterance has none; views of
        the data set's file where nothing is cut off.

    Raises:
        InputError: The data set has no text vectors.
    """
    vectors = split.text_vectors
    if vectors is None:
        raise InputError(
            'model.text.encoder is "file", but these utterances have no text vectors of their '
            "own, and it reads no words; convert a file that has some (MulT's, MMSA's), or take "
            "another encoder"
        )
    if int(vectors.lengths.max(initial=0)) <= max_tokens:
        return vectors
    lengths = np.minimum(vectors.lengths, max_tokens)
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    return Ragged(
        np.concatenate([vectors.row(row)[:max_tokens] for row in range(len(vectors))]), offsets
    )


def _words_digest(words: Sequence[str | None]) -> str:
    total = hashlib.sha256()
    for text in words:
        data = b"" if text is None else text.encode()
        total.update(b"-" if text is None else b"%d:" % len(data) + data)
    return total.hexdigest()


def _encode_to_in_a_process(
    path: Path, words: Sequence[str | None], config: TextConfig, device: torch.device
) -> None:
    """`_encode_to` in another process, which gives the GPU back as it ends.

    Raises:
        RunError: It could not encode; with the last that it said.
    """
    # Not multiprocessing's: that would import the caller's script anew.
    program = f"from {__name__} import _answer_encode; _answer_encode()"
    asked = pickle.dumps((path, list(words), config.model_dump(), str(device)))
    done = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", program], input=asked, capture_output=True, check=False
    )
    if done.returncode:
        ended = f"its process ended with {done.returncode}"  # which is −9 where it was killed
        said = done.stderr.decode(errors="replace").strip().splitlines() or [ended]
        raise RunError(
            f"encoding words on {device} failed: {said[-1]}; free memory there and run again, or "
            'set run.device = "cpu"'
        )
    error = pickle.loads(done.stdout)  # noqa: S301 - what our own child wrote
    if error is not None:
        raise error


def _answer_encode() -> None:
    """The other process: what to encode comes on standard input, an error goes to the output."""
    path, words, config, device = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent
    error: Exception | None = None
    try:
        _encode_to(path, words, TextConfig.model_validate(config), torch.device(device))
    except (InputError, OSError) as raised:
        error = raised
    sys.stdout.buffer.write(pickle.dumps(error))


def _encode_to(
    path: Path, words: Sequence[str | None], config: TextConfig, device: torch.device
) -> None:
    """Encode all words into a file, in bounded memory; the file appears whole or not at all."""
    tokens = tokenize(words, config.encoder, config.max_tokens)
    encoder = load_text_encoder(config).eval().to(device)
    raw = path.with_suffix(f".{os.getpid()}.raw")
    total = int(tokens.offsets[-1])
    try:
        # Arrow wants one buffer for the whole column: it is filled on disk, not in memory.
        vectors = np.memmap(raw, np.float32, "w+", shape=(max(total, 1), encoder.width))
        with cpu_threads(choose_threads(0, finetunes=True)):
            for start in range(0, len(tokens), _BLOCK):
                block = range(start, min(start + _BLOCK, len(tokens)))
                _encode_block(encoder, tokens, block, vectors)
        flat = pa.Array.from_buffers(
            pa.float32(), total * encoder.width, [None, pa.py_buffer(vectors)]
        )
        column = pa.ListArray.from_arrays(
            pa.array(tokens.offsets.astype(np.int32)),
            pa.FixedSizeListArray.from_arrays(flat, encoder.width),
        )
        table = pa.table({_COLUMN: column})
        with (
            whole_or_nothing(path) as part,
            pa.OSFile(str(part), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as file,
        ):
            file.write_table(table)
    finally:
        raw.unlink(missing_ok=True)


@torch.inference_mode()
def _encode_block(
    encoder: TextEncoder, tokens: Ragged, rows: range, vectors: NDArray[np.float32]
) -> None:
    """Encode some texts, those of like length together, and put each where it belongs."""
    device = next(encoder.parameters()).device
    lengths = tokens.lengths
    order = sorted((row for row in rows if lengths[row]), key=lambda row: int(lengths[row]))
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        taken = tokens.take(chosen)
        mask = np.arange(taken.lengths.max()) < taken.lengths[:, None]
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = taken.values
        encoded = encoder(
            torch.from_numpy(ids).to(device), torch.from_numpy(taken.lengths).to(device)
        )
        states = encoded.float().cpu().numpy()[mask]
        for row, begin, end in zip(chosen, taken.offsets, taken.offsets[1:], strict=False):
            vectors[tokens.offsets[row] : tokens.offsets[row + 1]] = states[begin:end]


def _read(path: Path) -> Ragged | None:
    """The cached features, or None where there is no sound file."""
    try:
        column = pa.ipc.open_file(pa.memory_map(str(path))).read_all()[_COLUMN].combine_chunks()
    except (OSError, pa.ArrowInvalid, KeyError):
        return None
    width = column.type.value_type.list_size
    values = column.values.values.to_numpy().reshape(-1, width)
    return Ragged(values, column.offsets.to_numpy().astype(np.int64))
