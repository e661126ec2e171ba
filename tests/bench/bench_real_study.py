"""A whole study of real MOSI (10 videos), killed twice on its way: what is kept, what it costs.

Screen, refine and confirm with the packaged MiniLM, frozen and fine-tuned. The driver is killed
once in the screen and once after it, and the same command goes on. Printed: rows of the tables,
wall time, and which share of it was training (the seconds of all epochs over wall time and slots;
three starts of Ray and of Python are in the wall time).

Run: python tests/bench/bench_real_study.py [frozen] [finetuned] [--folder DIR] [--quiet]
(needs the shared folder; set HSCL_SHARED. --quiet kills nothing.)
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from real_data import ten_videos

from hscl.errors import InputError
from tune.study.size import size_of
from tune.study.toml import load_spec
from tune.tables.schemas import SCHEMAS
from tune.views.study import open_study

STUDIES = {"frozen": ("false", 8, 32), "finetuned": ("true", 4, 16)}
"""Whether the encoder is trained, epochs, trials of the screen."""
KILLS = (0.15, 0.6)
"""Of the epochs that a study is expected to take."""


def study_file(kind: str, path: Path) -> Path:
    """The study of this kind."""
    finetune, epochs, trials = STUDIES[kind]
    lines = ["[base]", f'"model.text.finetune" = {finetune}', f'"train.epochs" = {epochs}']
    lines += ['"train.batch_size" = 32', '"run.threads" = 1', "[space]"]
    for name, ends in {
        "loss.temperature": "[0.03, 1.0]",
        "loss.alpha": "[0.01, 1.0]",
        "loss.omega1": "[0.001, 1.0]",
        "loss.omega2": "[0.001, 1.0]",
        "train.lr": "[1e-4, 3e-3]",
    }.items():
        lines.append(f'"{name}" = {{ log_uniform = {ends} }}')
    lines += ["[sampler]", f"trials = {trials}"]
    lines += ["[resources]", "cpus = 1", "concurrent = 1"]
    path.write_text("\n".join(lines) + "\n")
    return path


def reports(out: Path) -> int:
    """Epochs that stand in the tables."""
    try:
        return int(open_study(str(out)).table("reports", columns=["epoch"]).num_rows)
    except InputError:
        return 0  # not begun


def run(kind: str, folder: Path, data: Path, *, quiet: bool) -> None:
    """One study, killed and gone on with, and its figures."""
    study = study_file(kind, folder / f"{kind}.toml")
    out = folder / kind
    command = [
        sys.executable,
        "-c",
        "from hscl.cli.main import main; main()",
        "search",
        str(study),
    ]
    command += ["--data", str(data), "--out", str(out)]
    expected = size_of(load_spec(study)).usual_epochs
    kills = [] if quiet else [round(share * expected) for share in KILLS]
    wall, landed = 0.0, 0
    while True:
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as driver:
            while driver.poll() is None:
                time.sleep(0.5)
                if kills and reports(out) >= kills[0]:
                    driver.send_signal(signal.SIGKILL)
                    kills.pop(0)
                    landed += driver.wait() == -signal.SIGKILL
        wall += time.perf_counter() - began
        if driver.returncode == 0:
            break
        if driver.returncode != -signal.SIGKILL:
            sys.exit(f"hscl search ended with exit code {driver.returncode}")
    done = open_study(str(out))
    trained = sum(done.table("reports", columns=["seconds"])["seconds"].to_pylist())
    rows = ", ".join(f"{name} {done.table(name).num_rows}" for name in SCHEMAS)
    print(f"{kind}: driver killed {landed} times; rows: {rows}")
    print(
        f"  {wall:.0f} s wall, {trained:.0f} s of training: share {trained / wall:.2f}",
        flush=True,
    )


def main() -> None:
    """Run the wanted studies."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=list(STUDIES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        data = ten_videos(folder)
        for kind in options.kinds:
            run(kind, folder, data, quiet=options.quiet)


if __name__ == "__main__":
    main()
