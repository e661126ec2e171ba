"""Fixtures that several test modules share; which tests run in one process."""

import functools
import gc
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from places import HELPERS

if TYPE_CHECKING:  # torch is loaded by the tests that need it
    from cluster_head import RayHead
    from commands import Hscl

    from hscl.config import Config
    from hscl.training.prepared import PreparedSplit, TrainingData

# A shell ignores SIGINT for what it runs in the background, and children inherit that: heads, jobs
# and drivers that tests interrupt would not notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Two test processes on two cores: numerical libraries, here and in children, take one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray starts its workers at niceness 15: beside a busy test process they would get next to nothing.
os.environ.setdefault("RAY_worker_niceness", "0")

_MISSING = "the shared folder with real data is missing (set HSCL_SHARED)"


_GROUPS = {"shared_ray": "ray", "ray_head": "head", "mark.hosts": "hosts", "mark.slurm": "hosts"}
"""Test files with one of these words run in one process: one Ray, one head serves them all, and
machines are network namespaces and ports of fixed names."""

_FIRST = ("ray", "head", *(f"tests/test_{n}.py" for n in ("readme", "cluster_storage", "old")))
"""The groups that take longest: what begins last should be short."""


@functools.cache
def _group(file: str) -> str:
    """The group of a test file, given from the root; by itself where it shares nothing."""
    text = (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
    return next((group for word, group in _GROUPS.items() if word in text), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Side by side, files of one group stay together (xdist's marks need an older pytest)."""
    from xdist.scheduler import LoadScopeScheduling

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: _group(nodeid.split("::", maxsplit=1)[0])
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest groups come first."""
    order = {group: number for number, group in enumerate(_FIRST)}
    files = (item.nodeid.split("::", maxsplit=1)[0] for item in items)
    places = {file: order.get(_group(file), len(order)) for file in files}
    items.sort(key=lambda item: places[item.nodeid.split("::", maxsplit=1)[0]])


def pytest_collection_finish() -> None:
    """Spare the garbage collector what the imports have made: it stays to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real CMU-MOSI files and golden numbers, or a skip where it is missing."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("HSCL_SHARED", beside))
    if not (folder / "golden").is_dir():
        pytest.skip(_MISSING)
    return folder


def _start_s3() -> tuple[str, "subprocess.Popen[bytes]"]:
    """A local S3 interface (moto): its requests, not its consistency or speed."""
    pytest.importorskip("moto.server", reason="moto[server] is missing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    return address, server


def _point_to(address: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", address)
    environment.setenv("AWS_ACCESS_KEY_ID", "test")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def hscl(capfd: pytest.CaptureFixture[str]) -> "Hscl":
    """Runs a command in this process: exit code, standard output, standard error."""
    from commands import Hscl

    return Hscl(capfd)


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
    """One Ray for all tests that need one; a study's driver uses the one that is there."""
    from tune.engine.ray_session import ray_session
    from tune.study.sections import ResourcesSection

    with pytest.MonkeyPatch.context() as environment:
        # Workers find the helpers beside the tests by name.
        folders = [str(HELPERS), os.environ.get("PYTHONPATH", "")]
        environment.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
        environment.setenv("OMP_NUM_THREADS", "1")
        with ray_session(None, ResourcesSection()):
            yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a local S3 interface that tests share."""
    address, server = _start_s3()
    yield address
    server.kill()
    server.wait()


@pytest.fixture
def start_s3(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts an S3 interface that a test may kill; the environment points to it."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        address, server = _start_s3()
        started.append(server)
        _point_to(address, monkeypatch)
        return server

    yield start
    for server in started:
        server.kill()
        server.wait()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty bucket on the local S3 interface; the environment points there."""
    _point_to(s3_server, monkeypatch)
    name = f"bucket-{uuid.uuid4().hex}"
    request = urllib.request.Request(f"{s3_server}/{name}", method="PUT")
    urllib.request.urlopen(request, timeout=10).close()
    return f"s3://{name}"


@pytest.fixture(scope="session")
def tiny_config() -> "Config":
    """A configuration whose network is tiny and reads text features 8 wide, without an encoder."""
    from hscl.config import Config

    return Config().with_overrides(
        {
            "model.text.finetune": False,
            "model.projection": 8,
            "model.fusion.heads": 2,
            "model.fusion.ffn": 16,
            "model.head.hidden": 8,
            "model.audio.layers": 1,
            "model.vision.layers": 1,
            "model.vision.heads": 2,
            "train.batch_size": 16,
            "train.epochs": 3,
            "run.device": "cpu",
        }
    )


@pytest.fixture(scope="session")
def tiny_data() -> "TrainingData":
    """41 + 12 generated utterances for `tiny_config`: a signal, and a few missing modalities."""
    from hscl.model.batch import Widths
    from hscl.training.prepared import TrainingData
    from hscl.training.scaling import fit_scaler

    train, valid = _tiny_split("train", 41), _tiny_split("valid", 12)
    frames = {"audio": train.audio, "vision": train.vision}
    scalers = {name: fit_scaler(ragged) for name, ragged in frames.items() if ragged is not None}
    return TrainingData(train, valid, Widths(text=8, audio=3, vision=4), "0" * 64, scalers)


def _tiny_split(name: str, count: int) -> "PreparedSplit":
    from hscl.data.ragged import Ragged
    from hscl.training.prepared import PreparedSplit

    generator = np.random.default_rng(count)
    labels = np.round(generator.uniform(-3, 3, count) * 5) / 5

    def sequences(width: int, shortest: int, longest: int) -> Ragged:
        lengths = generator.integers(shortest, longest, count)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = generator.normal(0, 1, (offsets[-1], width)) + np.repeat(labels, lengths)[:, None]
        values = values.astype(np.float32)
        values.setflags(write=False)  # as a worker sees them that shares them with others
        return Ragged(values, offsets)

    return PreparedSplit(
        name=name,
        videos=[f"video{i // 5}" for i in range(count)],
        utterances=[str(i % 5) for i in range(count)],
        labels=labels,
        text=sequences(8, 1, 7),
        audio=sequences(3, 0, 9),  # length 0: missing
        vision=sequences(4, 0, 6),
    )


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT, 16 wide and 2 layers deep, and a tokenizer of a few words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "a", "film", "##s", "!"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(
                vocab_size=len(words),
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=32,
                max_position_embeddings=64,
            )
        )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def ray_head() -> Iterator["RayHead"]:
    """A real Ray head in token mode that tests share; they leave no running job behind."""
    from cluster_head import RayHead

    with RayHead() as head:
        yield head


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated data set of 60 utterances, audio 5 and vision 20 wide, nothing missing."""
    from hscl.data.demo import write_demo

    path = tmp_path_factory.mktemp("data") / "tiny.arrow"
    write_demo(path, utterances=60)
    return path


@pytest.fixture(scope="session")
def encoder_config(tiny_config: "Config", tiny_encoder: Path) -> "Config":
    """`tiny_config` with a text encoder, fine-tuned, for `tiny_file`."""
    return tiny_config.with_overrides(
        {"model.text.encoder": str(tiny_encoder), "model.text.finetune": True}
    )


@pytest.fixture(scope="session")
def tiny_model(
    tmp_path_factory: pytest.TempPathFactory, encoder_config: "Config", tiny_file: Path
) -> Path:
    """A folder that `hscl train` made of `encoder_config` and `tiny_file`, seeds 11 and 12."""
    from hscl.data.dataset import Dataset
    from hscl.trained.progress import TrainingProgress
    from hscl.trained.train import prepare_final, train_final

    folder = tmp_path_factory.mktemp("models") / "tiny"
    final = prepare_final(encoder_config, Dataset.open(tiny_file), [11, 12])
    with TrainingProgress(final) as progress:
        train_final(final, folder, progress)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests had no real data to read."""
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if _MISSING in str(report.longrepr)
    ]
    terminalreporter.write_line(f"{len(skipped)} tests skipped: {_MISSING}")
