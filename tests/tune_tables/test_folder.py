"""Whose folder it is, and what may change on a resume."""

from pathlib import Path

import pytest
import tomli_w
from synthetic import objective, study

from hscl.errors import InputError
from tune.engine.recorder import Recorder
from tune.planner.decisions import plan_row
from tune.simulate.study import SimulatedRun
from tune.states import Kind
from tune.study.spec import StudySpec
from tune.tables.folder import check_data, check_folder, check_phases, freeze, frozen_spec
from tune.tables.storage import Folder, open_folder
from tune.tables.store import TableStore


def test_a_frozen_study_reads_back_equal_and_resumes(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "study")
    assert frozen_spec(folder) is None
    check_folder(folder, study())
    freeze(folder, study())
    assert frozen_spec(folder) == study()
    check_folder(folder, study())
    check_folder(folder, study(resources={"concurrent": 7}))


def test_every_changed_key_is_named_with_both_values(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    freeze(folder, study())
    with pytest.raises(InputError) as caught:
        check_folder(folder, study(study={"seed": 4}, base={"train.lr": 0.01}))
    assert "  study.seed: was 3, is 4" in str(caught.value)
    assert "  base.train.lr: was 0.001, is 0.01" in str(caught.value)
    assert "another --out" in str(caught.value)


def test_a_study_that_could_not_be_read_again_is_refused_before_it_begins(tmp_path: Path) -> None:
    folder, good = open_folder(tmp_path / "study"), study()
    kept = good.confirm.model_copy(update={"keep": 99})
    with pytest.raises(InputError, match=r"(?s)must read back .*confirm\.keep must be at most"):
        check_folder(folder, good.model_copy(update={"confirm": kept}))
    # What reads back, but as another study: nobody would know which one ran.
    idle = good.base.with_overrides({"model.kind": "mult"}).with_overrides({"loss.alpha": 7.0})
    with pytest.raises(InputError, match=r"(?s)must read back .*loss\.alpha means nothing"):
        check_folder(folder, good.model_copy(update={"base": idle}))
    assert not folder.exists()


def test_a_lock_alone_leaves_a_folder_new(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text("{}")
    check_folder(open_folder(tmp_path), study())
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"but holds notes\.txt"):
        check_folder(open_folder(tmp_path), study())


def test_a_driver_killed_while_it_froze_the_study_leaves_a_folder_to_begin_in(
    tmp_path: Path,
) -> None:
    half = tmp_path / ".study.toml.77.part"
    half.write_text("[study")
    folder = open_folder(tmp_path)
    check_folder(folder, study())
    freeze(folder, study())
    assert not half.exists()
    assert frozen_spec(folder) == study()


@pytest.mark.parametrize("text", ["not toml = =", "\xff"])
def test_a_damaged_study_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"study\.toml must be a readable study file"):
        frozen_spec(open_folder(tmp_path))


def test_only_the_data_that_it_began_with_are_taken(tmp_path: Path) -> None:
    recorder = Recorder(study(), TableStore(tmp_path))
    check_data(recorder.history, "a" * 64, "new.arrow")
    recorder.add_plan([plan_row(Kind.DATA, note="a" * 64)])
    check_data(recorder.history, "a" * 64, "moved.arrow")
    with pytest.raises(InputError, match=r"digest aaaaaaaaaaaa, but new\.arrow has bbbbbbbbbbbb"):
        check_data(recorder.history, "b" * 64, "new.arrow")


def test_a_changed_range_of_the_labels_is_noticed_which_no_digest_tells(tmp_path: Path) -> None:
    recorder = Recorder(study(), TableStore(tmp_path))
    recorder.add_plan([plan_row(Kind.DATA, note="a" * 64, value=1.0)])
    check_data(recorder.history, "a" * 64, "same.arrow", 1.0)
    with pytest.raises(InputError, match=r"labels within ± 1, but changed\.arrow says ± 3"):
        check_data(recorder.history, "a" * 64, "changed.arrow", 3.0)


def begun_before(folder: Folder) -> StudySpec:
    """A study of which a version before 0.2 froze the specification in a folder."""
    tree = {name: keys for name, keys in study().tree().items() if name != "refine"}
    tree["race"] = {"keep": 2, "seeds": 3}
    folder.write("study.toml", tomli_w.dumps(tree).encode())
    spec = frozen_spec(folder)
    assert spec is not None
    return spec


def test_a_folder_begun_before_refine_is_that_studys_alone(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    spec = begun_before(folder)
    check_folder(folder, spec)
    with pytest.raises(InputError, match="none goes on with") as caught:
        check_folder(folder, study())
    assert "\n" not in str(caught.value)
    assert f"--warm-start {folder.uri} --out DIR" in str(caught.value)


def test_a_study_begun_before_refine_is_not_gone_on_with_unless_nothing_is_left(
    tmp_path: Path,
) -> None:
    spec = begun_before(open_folder(tmp_path))
    run = SimulatedRun(spec, objective)
    with pytest.raises(InputError, match="--warm-start there --out DIR"):
        check_phases(run.run(20).history, "there")
    finished = run.run().history
    check_phases(finished, "there")
    with pytest.raises(InputError, match="--warm-start there"):
        check_phases(finished, "there", another_look=True)
    check_phases(SimulatedRun(study(), objective).run(20).history, "there", another_look=True)
