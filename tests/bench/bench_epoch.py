"""One epoch on generated data in MOSEI's shape: seconds per 1,000 utterances and peak memory.

Audio 74 and vision 35 wide, up to 500 frames, at several sizes; a small text encoder, as its time
is known to be linear. Neither figure should grow with the number of utterances: frames stay in
the mapped file, batches are cut to what they hold. "own memory" is what the process holds itself
(RssAnon). Run: python tests/bench/bench_epoch.py [SIZE …]    (issue-sized: 5000 10000 20000)
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel, BertTokenizer
from transformers.utils.logging import disable_progress_bar

from hscl.config import Config
from hscl.data.schema import Utterance, arrow_schema, digest_of, file_metadata, write_utterances

SIZES = (250, 500, 1000)
WORDS = ("good", "bad", "film", "a", "the", "was", "very", "not", "plot", "and")


def utterances(count: int) -> Iterator[Utterance]:
    """Train and a small valid split, one after the other, the same at every call."""
    generator = np.random.default_rng(0)
    frames = {d: generator.standard_normal((500, d), dtype=np.float32) for d in (74, 35)}
    for i in range(count + 50):
        lengths = np.clip(generator.lognormal(4.8, 0.7, 2), 5, 500).astype(int)
        label = round(float(generator.uniform(-3, 3)) * 3) / 3
        words = " ".join(generator.choice(WORDS, int(generator.integers(4, 30))))
        yield Utterance(
            f"video{i // 7}",
            str(i % 7),
            "train" if i < count else "valid",
            label,
            words,
            frames[74][: lengths[0]] + np.float32(label),
            frames[35][: lengths[1]] + np.float32(label),
        )


def write(path: Path, count: int) -> None:
    """A data set file, written row by row."""
    widths = {"audio_width": 74, "vision_width": 35}
    metadata = file_metadata(digest=digest_of(utterances(count)), source="synthetic", **widths)
    write_utterances(path, utterances(count), arrow_schema(74, 35, metadata))


def write_encoder(folder: Path) -> None:
    """A random BERT, 64 wide and 2 layers deep."""
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
    )
    disable_progress_bar()  # type: ignore[no-untyped-call]
    BertModel(shape).save_pretrained(folder)


def measured(data: str, encoder: str) -> None:
    """One epoch; prints utterances, seconds, processor seconds and peak of own memory (MiB)."""
    from hscl.data.dataset import Dataset
    from hscl.training.loop import Training
    from hscl.training.prepared import prepare

    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            status = Path("/proc/self/status").read_text()
            peak = max(peak, int(status.split("RssAnon:")[1].split()[0]) >> 10)

    config = Config().with_overrides(
        {
            "model.text.encoder": encoder,
            "model.fusion.heads": 4,
            "model.fusion.ffn": 64,
            "model.audio.heads": 2,
            "model.vision.ffn": 32,
            "train.batch_size": 32,
            "train.epochs": 1,
            "run.device": "cpu",
        }
    )
    watcher = threading.Thread(target=watch)
    watcher.start()
    prepared = prepare(Dataset.open(data), config)
    training = Training(config, prepared, seed=1)
    began = time.process_time()
    (report,) = list(training)
    worked = time.process_time() - began
    done.set()
    watcher.join()
    print(len(prepared.train), report.seconds, worked, peak)


def main() -> None:
    """One process a size, so that each has its own peak."""
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print("utterances  s/1000  processor s/1000  own memory, MiB")
    with tempfile.TemporaryDirectory() as folder:
        encoder = Path(folder) / "encoder"
        write_encoder(encoder)
        for size in sizes:
            data = Path(folder) / f"{size}.arrow"
            write(data, size)
            command = [sys.executable, __file__, "--measure", str(data), str(encoder)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            count, clock, worked, peak = out.split()
            per = int(count) / 1000
            print(f"{count:>10}  {float(clock) / per:6.1f}  {float(worked) / per:16.1f}  {peak}")
            data.unlink()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measured(*sys.argv[2:])
    else:
        main()
