"""What a study is bound to is checked at every read, and an explicit change is recorded."""

import json
from pathlib import Path
from typing import Any

import pytest
import synthetic
from small_study import study

from hscl.errors import InputError
from tune.engine.recorder import Recorder
from tune.evidence.gather import gather
from tune.planner.decisions import plan_row
from tune.report.limits import reproduction_of
from tune.simulate.study import SimulatedRun, Tables
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.study.toml import dump_spec
from tune.tables.folder import check_folder, check_more, freeze, frozen_spec
from tune.tables.history import History
from tune.tables.identity import (
    code_note,
    lowered_keys,
    recorded_spec,
    specification_note,
    standing_spec,
)
from tune.tables.storage import open_folder
from tune.tables.store import TableStore
from tune.views.study import open_study


def begin(where: Path, spec: StudySpec) -> Recorder:
    """A study that a driver has just begun."""
    freeze(open_folder(where), spec)
    recorder = Recorder(spec, TableStore(where))
    recorder.add_plan([plan_row(Kind.SPECIFICATION, note=specification_note(spec))])
    return recorder


def edit(where: Path, spec: StudySpec) -> None:
    (where / "study.toml").write_text(dump_spec(spec), encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("confirm.looks = 3", "confirm.looks: was 1, is 3"),
        ("confirm.margin = 0.5", "confirm.margin: was 0.02, is 0.5"),
        ('study.metric = "corr"', "study.metric: was 'mae', is 'corr'"),
        ("confirm.seeds = 9", "confirm.seeds: was 3, is 9"),
        ("study.seed = 4", "study.seed: was 0, is 4"),
    ],
)
def test_a_study_file_edited_after_the_start_is_refused_by_all_that_read_it(
    tmp_path: Path, text: str, said: str
) -> None:
    begin(tmp_path, study())
    changed = study(text)
    edit(tmp_path, changed)
    folder = open_folder(tmp_path)
    for read in (
        lambda: open_study(tmp_path),
        lambda: gather(folder),
        lambda: check_folder(folder, changed),
        lambda: frozen_spec(folder),
    ):
        with pytest.raises(InputError, match=r"study\.toml must say what the study began") as it:
            read()
        assert f"\n  {said}\n" in str(it.value)
    edit(tmp_path, study())
    assert open_study(tmp_path).spec == study()


def test_resources_and_the_files_layout_may_change(tmp_path: Path) -> None:
    begin(tmp_path, study())
    text = dump_spec(study("resources.concurrent = 7"))
    (tmp_path / "study.toml").write_text(f"# a note\n{text}", encoding="utf-8")
    assert open_study(tmp_path).spec.resources.concurrent == 7


def test_a_study_from_before_it_was_recorded_opens(tmp_path: Path) -> None:
    freeze(open_folder(tmp_path), study())
    Recorder(study(), TableStore(tmp_path)).add_plan([plan_row(Kind.DATA, note="a" * 64)])
    assert open_study(tmp_path).spec == study()


def test_a_key_that_came_later_is_no_change_at_its_default() -> None:
    told = json.loads(specification_note(study()))
    del told["study"]["confirm"]["looks"]
    told["digest"] = "counted in another way"
    assert standing_spec(study(), [json.dumps(told)], "DIR") == study()
    with pytest.raises(InputError, match=r"confirm\.looks: was 1, is 2"):
        standing_spec(study("confirm.looks = 2"), [json.dumps(told)], "DIR")


def test_what_a_person_changes_explicitly_is_recorded_and_holds_from_then_on(
    tmp_path: Path,
) -> None:
    before, after = study(), study("sampler.trials = 20")
    recorder = begin(tmp_path, before)
    note = specification_note(after, before)
    recorder.add_plan([plan_row(Kind.SPECIFICATION, note=note)])
    told = recorded_spec(note, "DIR")
    assert (told.before, told.digest) == (before.digest, after.digest)
    assert told.changed == ("sampler.trials: was 12, is 20",)
    # The driver was killed before it froze the new one: the tables are the truth.
    assert open_study(tmp_path).spec == after
    freeze(open_folder(tmp_path), after)
    assert open_study(tmp_path).spec == after
    (table,) = reproduction_of(gather(open_folder(tmp_path))).tables
    (row,) = [row for row in table.rows if row[0] == "Changed by a person"]
    assert told.changed[0] in row[1]
    assert f"digest {before.digest[:12]} → {after.digest[:12]}" in row[1]


def test_a_change_is_known_by_what_it_replaced_where_that_was_never_recorded() -> None:
    before, after = study(), study("sampler.trials = 20")
    change = specification_note(after, before)
    assert standing_spec(before, [change], "DIR") == after
    assert standing_spec(before, [specification_note(after), change], "DIR") == after
    with pytest.raises(InputError, match=r"confirm\.seeds: was 3, is 9"):
        standing_spec(study("confirm.seeds = 9\nsampler.trials = 20"), [change], "DIR")


@pytest.mark.parametrize("note", [None, "", "[]", "{}", '{"digest": "a", "study": 3}'])
def test_a_damaged_record_is_one_message(tmp_path: Path, note: str | None) -> None:
    freeze(open_folder(tmp_path), study())
    recorder = Recorder(study(), TableStore(tmp_path))
    recorder.add_plan([plan_row(Kind.SPECIFICATION, note=note)])
    with pytest.raises(InputError, match="its row 'specification' is damaged"):
        open_study(tmp_path)


def test_going_on_with_other_code_is_recorded_and_said(tmp_path: Path) -> None:
    recorder = begin(tmp_path, study())
    old, new = {"sources": "a" * 64, "torch": "2.6.0"}, {"sources": "b" * 64, "torch": "2.7.0"}
    notes = [code_note(recorder.history, code) for code in (old, new)]
    for code, note in ((old, notes[0]), (new, notes[1])):
        assert code_note(recorder.history, code) == note
        recorder.add_plan([plan_row(Kind.CODE, note=note)])
        assert code_note(recorder.history, code) is None
    (table,) = reproduction_of(gather(open_folder(tmp_path))).tables
    (row,) = [row for row in table.rows if row[0] == "Went on with other code"]
    assert row[1].endswith(f"sources {'a' * 12} → {'b' * 12}, torch 2.6.0 → 2.7.0")


def test_more_trials_and_budget_may_be_asked_for_explicitly_and_nothing_else(
    tmp_path: Path,
) -> None:
    small, large = study("sampler.trials = 8"), study("sampler.trials = 12")
    begin(tmp_path, small)
    folder = open_folder(tmp_path)
    with pytest.raises(InputError, match=r"with --more .*\n  sampler\.trials: was 8, is 12"):
        check_folder(folder, large)
    check_folder(folder, large, more=True)
    assert lowered_keys(small, large) == []
    assert lowered_keys(large, small) == ["sampler.trials: was 12, is 8"]
    other = study("confirm.seeds = 30")
    with pytest.raises(InputError, match=r"confirm\.seeds: was 3, is 30"):
        check_folder(folder, other, more=True)


def test_where_a_person_asks_for_more_the_search_goes_on_and_decides_anew() -> None:
    counts = {"sampler": {"trials": 4}, "confirm": {"seeds": 0}}
    spec = synthetic.study(**counts, refine={"trials": 1})
    more = synthetic.study(**counts, refine={"trials": 4})
    tables = SimulatedRun(spec, synthetic.objective).run().tables
    before = fold_of(spec, tables)
    assert before.ending is not None
    row = plan_row(Kind.SPECIFICATION, note=specification_note(more, spec))
    last = max(row["seq"] for name in ("trials", "reports", "plan") for row in tables[name])
    tables["plan"] = [*tables["plan"], row | {"seq": last + 1, "time": None}]
    run = SimulatedRun(more, synthetic.objective, tables=tables)
    assert run.history.ending is None
    run.run()
    assert len(run.history.configs) == len(before.configs) + 3
    assert len(run.history.plan_rows(Kind.WINNER)) == 1  # the one that holds
    assert len([row for row in run.history.plan if row["kind"] == Kind.WINNER]) == 2
    again = fold_of(more, run.tables)  # as a reader sees it
    assert (again.winner, again.ending) == (run.history.winner, run.history.ending)


@pytest.mark.parametrize(
    "more",
    [
        {"sampler": {"trials": 9}},
        {"sampler": {"trials": 9}, "refine": {"trials": 4}},
        {"sampler": {"trials": 9}, "refine": {"trials": "auto"}},
    ],
)
def test_more_trials_of_a_screen_that_is_over_are_refused_whatever_else_is_raised(
    more: dict[str, Any],
) -> None:
    counts = {"sampler": {"trials": 6}, "refine": {"trials": 1}, "confirm": {"seeds": 0}}
    history = SimulatedRun(synthetic.study(**counts), synthetic.objective).run().history
    with pytest.raises(InputError, match=r"sampler\.trials must stay 6, .* but is 9; raise"):
        check_more(history, synthetic.study(**counts | more), "runs/s")
    check_more(history, synthetic.study(**counts | {"refine": {"trials": 4}}), "runs/s")


def test_a_larger_budget_goes_on_once_refine_has_begun() -> None:
    counts = {"sampler": {"trials": "auto"}, "refine": {"trials": "auto"}, "confirm": {"seeds": 0}}
    spec = synthetic.study(**counts, budget={"epochs": 40})
    history = SimulatedRun(spec, synthetic.objective).run().history
    assert history.refined_from is not None
    check_more(history, synthetic.study(**counts, budget={"epochs": 60}), "runs/s")


def fold_of(spec: StudySpec, tables: Tables) -> History:
    return SimulatedRun(spec, synthetic.objective, tables=tables).history


def test_more_is_refused_once_confirm_has_begun_with_the_command_that_warm_starts() -> None:
    spec = synthetic.study()
    history = SimulatedRun(spec, synthetic.objective).run().history
    more = synthetic.study(refine={"trials": 9})
    with pytest.raises(InputError, match="--warm-start runs/s --out NEW"):
        check_more(history, more, "runs/s")
