"""Gathering what is known of a study: sound, running, damaged, or no study at all."""

import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import small_study
from study_factory import PARTS, Simulated, evidence_of, write_study

from hscl.config import Config
from hscl.errors import InputError
from tune.evidence.gather import Evidence, gather
from tune.planner.decisions import plan_row
from tune.report.headline import headline_of, lead_of, verdict_of
from tune.report.limits import limits_of
from tune.simulate.study import SimulatedRun, SimulatedTrialError
from tune.states import Kind, Verdict
from tune.study.toml import dump_spec
from tune.tables.lock import StudyLock
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.study import open_study

STUDY = Simulated(trials=8, refined=3, gap=-0.12, seed=1)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("evidence") / "study", STUDY)


@pytest.fixture
def study(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "study"))


def _gather(study: Path) -> Evidence:
    return gather(open_folder(study))


def _parts(study: Path, table: str, pieces: int) -> list[Path]:
    """The table again, in several files."""
    rows = TableStore(study).read(table).to_pylist()
    shutil.rmtree(study / "tables" / table)
    store = TableStore(study)
    size = -(-len(rows) // pieces)
    for at in range(0, len(rows), size):
        store.append(table, rows[at : at + size])
    return sorted((study / "tables" / table).glob("*.parquet"))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize("given", ["sets/mo si.arrow", "s3://bucket/mosi.arrow"])
def test_the_printed_commands_name_the_data_that_the_driver_had(
    study: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    path = given if "://" in given else str(study.parent / given)
    with StudyLock(open_folder(study), go_on=["hscl", "search", str(study), "--data", path]):
        pass
    use = _gather(study).use
    assert use is not None
    words = shlex.split(use.commands[1])
    assert words[words.index("--data") + 1] == given


def test_without_a_driver_s_word_the_data_are_left_to_the_reader(study: Path) -> None:
    use = _gather(study).use
    assert use is not None
    assert "--data DATA --seeds" in use.commands[1]


def test_a_finished_study_has_its_verdict_and_no_damage(study: Path) -> None:
    evidence = _gather(study)
    assert evidence.finished
    assert evidence.damages == ()
    assert evidence.comparison is not None
    assert evidence.comparison.primary is not None
    assert evidence.comparison.primary.verdict is Verdict.BETTER


@pytest.mark.parametrize("part", PARTS)
def test_only_the_end_is_finished(part: str) -> None:
    evidence = evidence_of(Simulated(until=part, trials=8, refined=3))
    assert evidence.finished == (part == "end")


@pytest.mark.parametrize(("sampler", "seeds"), [("list", 5), ("grid", 5), ("random", 0)])
def test_studies_without_refine_or_confirm_finish_too(sampler: str, seeds: int) -> None:
    what = Simulated(sampler=sampler, confirm_seeds=seeds, trials=6, refined=3, epochs=3)
    assert evidence_of(what).finished


def test_a_further_look_that_runs_keeps_the_verdict_but_the_study_is_not_over(
    study: Path,
) -> None:
    file = study / "study.toml"
    file.write_text(file.read_text().replace("looks = 1", "looks = 2"))
    before = _gather(study)
    look = next(r for r in before.tables["plan"].to_pylist() if r["kind"] == "look")
    TableStore(study).append("plan", [look | {"seq": 9000, "value": 4.0, "seeds": [71, 72]}])
    evidence = _gather(study)
    assert (before.finished, evidence.finished) == (True, False)
    assert verdict_of(before) == ("better on videos like these", "better")
    for told in (headline_of, verdict_of, lead_of):
        assert told(evidence) == told(before)
    assert evidence.comparison is not None
    # After six, eight and ten pairs it was looked at already.
    assert any("Look 4 is open: 0 of 4 runs" in note for note in evidence.comparison.notes)


@pytest.mark.parametrize("confirm_seeds", [10, 0])
def test_a_search_in_which_all_but_the_default_failed_is_over(confirm_seeds: int) -> None:
    what = Simulated(trials=3, failures=2, refined=0, confirm_seeds=confirm_seeds)
    evidence = evidence_of(what)
    assert evidence.finished
    why = evidence.history.without_winner
    assert why is not None
    assert why.startswith("no configuration other than the default completed")
    assert headline_of(evidence) == f"The study is over without a winner: {why}."
    assert verdict_of(evidence) == ("", "none")


def test_a_winner_or_none_yet_is_no_end_without_one() -> None:
    for until in ("refine", "end"):
        evidence = evidence_of(Simulated(until=until, trials=8, refined=3))
        assert evidence.history.without_winner is None


def test_trainings_of_several_precisions_are_compared_and_said_to_be(study: Path) -> None:
    def notes() -> list[str]:
        compared = _gather(study).comparison
        assert compared is not None
        return [note for note in compared.notes if "precision" in note]

    assert notes() == []
    rows = TableStore(study).read("trials").to_pylist()
    last = next(r for r in rows if r["phase"] == "confirm" and r["state"] == "done")
    TableStore(study).append("trials", [last | {"seq": 9000, "precision": "bf16"}])
    (note,) = notes()
    assert "(1 in bf16 and " in note


def test_a_lost_file_of_decisions_takes_the_verdict_away(study: Path) -> None:
    _cut(_parts(study, "plan", 6)[0])
    evidence = _gather(study)
    assert [damage.table for damage in evidence.damages] == ["plan"]
    assert evidence.comparison is not None
    assert evidence.comparison.primary is not None
    assert evidence.comparison.primary.verdict is None
    assert "decisions is lost" in evidence.comparison.primary.judgement.reason
    assert any("plan" in note for note in evidence.comparison.notes)


def test_lost_predictions_leave_runs_out_and_are_named(study: Path) -> None:
    before = _gather(study).comparison
    _cut(_parts(study, "predictions", 30)[-1])
    after = _gather(study).comparison
    assert before is not None
    assert after is not None
    assert before.primary is not None
    assert after.primary is not None
    assert len(after.primary.seeds) < len(before.primary.seeds)
    assert any("left out" in note for note in after.notes)


def test_a_lost_row_of_the_default_means_no_comparison_but_the_rest(study: Path) -> None:
    _cut(_parts(study, "configs", 8)[0])
    evidence = _gather(study)
    assert evidence.comparison is None
    assert "row of the default is lost" in evidence.why_not
    assert len(evidence.trials) == len(TableStore(study).read("trials")) // 2
    assert any(label.text.startswith("lost ") for label in evidence.labels.values())


def test_a_lost_row_of_another_configuration_keeps_the_comparison(study: Path) -> None:
    _cut(_parts(study, "configs", 8)[-1])
    evidence = _gather(study)
    assert evidence.comparison is not None
    assert evidence.comparison.primary is not None


@pytest.mark.parametrize("table", ["reports", "trials"])
def test_other_losses_shorten_the_curves_only(study: Path, table: str) -> None:
    whole = sum(len(curve.curve) for curve in _gather(study).trials)
    _cut(_parts(study, table, 10)[4])
    evidence = _gather(study)
    assert [damage.table for damage in evidence.damages] == [table]
    assert 0 < sum(len(curve.curve) for curve in evidence.trials) <= whole
    assert evidence.comparison is not None


def test_where_no_trial_can_be_read_nothing_can_be_said(study: Path) -> None:
    for file in (study / "tables/trials").glob("*.parquet"):
        file.write_bytes(b"")
    with pytest.raises(InputError, match="nothing of it can be said") as caught:
        _gather(study)
    assert "tables/trials/00000000-00000000.parquet" in str(caught.value)


def test_a_study_that_has_only_been_frozen_says_that_nothing_has_run(study: Path) -> None:
    shutil.rmtree(study / "tables")
    evidence = _gather(study)
    assert not evidence.finished
    assert evidence.comparison is None
    assert evidence.why_not == "Nothing has run yet."


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda study: (study / "study.toml").unlink(), "has no study.toml"),
        (shutil.rmtree, "is not there"),
        (lambda study: (study / "study.toml").write_text("[study"), "readable study file"),
        (lambda study: (study / "study.toml").write_bytes(b"\xff\xfe"), "readable study file"),
        (lambda study: (study / "study.toml").write_text("[study]\nx = 1\n"), "x"),
    ],
)
def test_what_is_no_study_is_refused_in_one_message(
    study: Path, spoil: object, words: str
) -> None:
    assert callable(spoil)
    spoil(study)
    with pytest.raises(InputError, match="study") as caught:
        _gather(study)
    assert words in str(caught.value)


@pytest.mark.parametrize("table", ["configs", "trials", "reports", "plan", "predictions"])
def test_whichever_file_is_lost_the_rest_is_said(study: Path, table: str) -> None:
    for file in _parts(study, table, 8):
        content = file.read_bytes()
        file.write_bytes(content[:-40])
        evidence = _gather(study)
        assert [damage.file for damage in evidence.damages] == [f"tables/{table}/{file.name}"]
        assert headline_of(evidence)
        assert limits_of(evidence).points
        file.write_bytes(content)


def test_lost_configurations_play_no_part_in_the_variance(study: Path) -> None:
    whole = _gather(study).variance
    _cut(_parts(study, "configs", 8)[-1])
    fewer = _gather(study).variance
    assert fewer.complete + fewer.stopped == whole.complete + whole.stopped - 1
    assert fewer.seed is not None


def test_a_metric_that_is_missing_everywhere_leaves_the_rest(study: Path) -> None:
    rows = TableStore(study).read("reports").to_pylist()
    shutil.rmtree(study / "tables/reports")
    TableStore(study).append("reports", [row | {"valid_mae": None} for row in rows])
    evidence = _gather(study)
    assert all(value != value for curve in evidence.trials for value in curve.curve.values())  # noqa: PLR0124 - NaN
    assert evidence.comparison is not None


def _broken(config: Config, seed: int, epoch: int) -> float:
    raise SimulatedTrialError("CUDA is not there")


def test_a_study_that_gave_up_and_was_finished_later_says_so_everywhere(tmp_path: Path) -> None:
    """Status, headline and the comparison's notes once told two stories."""
    run = SimulatedRun(small_study.study(), _broken).run()
    told: list[tuple[str, str, str]] = []
    for _ in range(2):
        folder = tmp_path / str(len(told))
        folder.mkdir()
        (folder / "study.toml").write_text(dump_spec(run.spec))
        for name, rows in run.tables.items():
            stamp = (
                {"time": datetime(2026, 3, 2, tzinfo=UTC)} if name in {"trials", "plan"} else {}
            )
            TableStore(folder).append(name, [row | stamp for row in rows])
        evidence = _gather(folder)
        assert evidence.comparison is not None
        notes = " ".join(evidence.comparison.notes)
        told.append((open_study(folder).status()["state"], headline_of(evidence), notes))
        assert evidence.finished
        seq = 1 + max(row["seq"] for name in ("trials", "plan") for row in run.tables[name])
        run.tables["plan"].append({"seq": seq, "time": None} | plan_row(Kind.RESUMED))
        run = SimulatedRun(run.spec, small_study.noisy(), tables=run.tables).run()
    (state, headline, notes), (state_after, headline_after, notes_after) = told
    assert state == "gave up"
    assert headline.startswith("The study gave up: all of 5 trials failed")
    assert "The study gave up" in notes
    assert state_after == "done"
    assert headline_after.startswith("Use configuration ")
    assert "gave up" not in headline_after + notes_after
