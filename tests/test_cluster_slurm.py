"""The SLURM template runs a study on a real SLURM of two nodes; the allocation ends with it."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from cluster_checks import assert_complete, files_with
from cluster_hosts import BIN
from cluster_slurm import Slurm, missing

from tune.views.study import open_study

_MISSING = missing()
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING)),
]
STUDY = """
[study]
name = "slurm"
[base]
"model.modalities" = "text"
"model.text.finetune" = false
"loss.omega1" = 0.0
"loss.omega2" = 0.0
"train.epochs" = 4
[space]
"train.lr" = { log_uniform = [1e-4, 1e-2] }
[sampler]
kind = "random"
trials = 6
[refine]
trials = 2
[confirm]
seeds = 2
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """Two idle nodes, a data set and a study that both see."""
    with Slurm() as nodes:
        made = nodes.run(str(BIN / "hscl"), "data", "demo", "--out", str(nodes.folder / "d.arrow"))
        assert made.returncode == 0, made.stderr
        (nodes.folder / "study.toml").write_text(STUDY)
        yield nodes


def _script(nodes: Slurm, name: str) -> Path:
    """The template with its three places edited, as a user would."""
    wrote = nodes.run(
        *(str(BIN / "hscl"), "cluster", "template", "slurm", "--force"),
        *("--out", str(nodes.folder), "--workers", "2", "--gpus", "0"),
    )
    assert wrote.returncode == 0, wrote.stderr
    script = nodes.folder / "hscl.sbatch"
    text = script.read_text()
    for hole, value in (
        ("/path/to/venv/bin/activate", str(BIN / "activate")),
        ("/shared/mosi.arrow", str(nodes.folder / "d.arrow")),
        ("/shared/runs/mosi", str(nodes.folder / name)),
    ):
        assert hole in text
        text = text.replace(hole, value)
    script.write_text(text)
    return script


def _submit(nodes: Slurm, script: Path) -> str:
    sent = nodes.run("sbatch", str(script))
    assert sent.returncode == 0, sent.stderr
    return sent.stdout.split()[-1]


def test_the_template_runs_a_study_on_both_nodes_and_ends_with_it(slurm: Slurm) -> None:
    job = _submit(slurm, _script(slurm, "run"))
    state = slurm.wait(job, 1200)
    said = (slurm.folder / f"hscl-{job}.out").read_text()
    assert state == "COMPLETED", said
    figures = assert_complete(slurm.folder / "run")
    print(f"\nSLURM: {figures}")
    assert slurm.run("squeue", "--noheader").stdout.strip() == ""
    shown = slurm.run("scontrol", "show", "job", job).stdout
    ended = datetime.fromisoformat(shown.partition("EndTime=")[2].split()[0]).astimezone()
    last = datetime.fromisoformat(open_study(slurm.folder / "run").status()["last_event"])
    print(f"the allocation ended {(ended - last).total_seconds():.0f} s after the last trial")
    assert "winner" in said
    assert not list(slurm.folder.glob(".hscl-*"))


def test_a_cancelled_job_goes_on_when_it_is_submitted_again(slurm: Slurm) -> None:
    script = _script(slurm, "again")
    job = _submit(slurm, script)
    _wait_for_reports(slurm.folder / "again")
    assert slurm.run("scancel", job).returncode == 0
    slurm.wait(job, 120)
    assert not list(slurm.folder.glob(".hscl-*"))
    assert slurm.wait(_submit(slurm, script), 1200) == "COMPLETED"
    figures = assert_complete(slurm.folder / "again")
    assert figures["started again"] >= 1


def test_before_its_time_limit_a_job_saves_goes_back_into_the_queue_and_goes_on(
    slurm: Slurm,
) -> None:
    job = _submit(slurm, _script(slurm, "requeued"))
    _wait_for_reports(slurm.folder / "requeued")
    # What --signal=B:USR1@300 sends.
    assert slurm.run("scancel", "--batch", "--signal=USR1", job).returncode == 0
    assert slurm.wait(job, 1500) == "COMPLETED", (slurm.folder / f"hscl-{job}.out").read_text()
    shown = slurm.run("scontrol", "show", "job", job).stdout
    assert "Restarts=1" in shown
    said = (slurm.folder / f"hscl-{job}.out").read_text()
    assert "hscl: interrupted; everything so far is kept" in said
    assert "winner" in said
    figures = assert_complete(slurm.folder / "requeued")
    print(f"\nSLURM, requeued: {figures}")
    assert not list(slurm.folder.glob(".hscl-*"))


def _wait_for_reports(folder: Path) -> None:
    deadline = time.monotonic() + 600
    while len(list((folder / "tables" / "reports").glob("*"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_a_failing_study_fails_the_job_at_once(slurm: Slurm) -> None:
    script = _script(slurm, "broken")
    script.write_text(script.read_text().replace(str(slurm.folder / "d.arrow"), "/no/such.arrow"))
    job = _submit(slurm, script)
    assert slurm.wait(job, 600) == "FAILED"
    assert "/no/such.arrow must be a data set" in (slurm.folder / f"hscl-{job}.out").read_text()


def test_the_jobs_token_stands_in_no_file(slurm: Slurm) -> None:
    """The token files are gone, so that nothing that looks like one may be left."""
    assert files_with("RAY_AUTH_TOKEN=", slurm.folder) == []
