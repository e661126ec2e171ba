"""Study files: round trips, all mistakes in one message, what may change on resume."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import study

from hscl.config import preset
from hscl.errors import InputError
from tune.study.spec import StudySpec
from tune.study.toml import changed_keys, dump_spec, load_spec, parse_spec, with_settings

RICH = """
[study]
name = "rich"
metric = "corr"
[base]
preset = "mosei"
train.epochs = 12
"train.patience" = 4
[space]
"loss.temperature" = { log_uniform = [0.03, 1] }
loss.omega1 = { uniform = [0, 1] }
"train.batch_size" = { int = [16, 64] }
"model.text.finetune" = { choice = [true, false] }
"train.lr_text" = { log_uniform = [1e-6, 1e-4], when = { "model.text.finetune" = true } }
[constraints]
rules = ["loss.omega1 <= 10 * loss.temperature"]
[[known]]
name = "old"
"loss.temperature" = 2.0
[[known]]
preset = "released"
[refine]
share = 0.5
[confirm]
seeds = [15, 92, 65, 35]
looks = 2
[budget]
epochs = 1000
[resources]
gpus = 0.25
"""


def again(spec: StudySpec) -> StudySpec:
    return parse_spec(tomllib.loads(dump_spec(spec)))


def test_a_frozen_study_reads_back_to_itself() -> None:
    spec = parse_spec(tomllib.loads(RICH))
    assert again(spec) == spec
    assert dump_spec(again(spec)) == dump_spec(spec)
    assert again(spec).digest == spec.digest
    assert again(spec).seed_plan() == spec.seed_plan()


@given(
    seeds=st.one_of(st.integers(1, 9), st.lists(st.integers(0, 999), min_size=1, unique=True)),
    margin=st.floats(0, 10),
    keep=st.one_of(st.just("all"), st.integers(1, 11)),
    low=st.floats(1e-6, 1, exclude_min=True),
    factor=st.floats(1.001, 90),
    hours=st.floats(0, 1e6),
)
@settings(max_examples=50)
def test_any_study_reads_back_to_itself(
    seeds: int | list[int],
    margin: float,
    keep: int | str,
    low: float,
    factor: float,
    hours: float,
) -> None:
    tree = {
        "space": {"loss.temperature": {"log_uniform": [low, low * factor]}},
        "sampler": {"trials": 12},
        "refine": {"share": factor / (1 + factor)},
        "confirm": {"margin": margin, "seeds": seeds, "keep": keep},
        "budget": {"hours": hours},
    }
    spec = parse_spec(tree)
    assert again(spec) == spec


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"sampler": {"trials": 3}, "confirm": {"keep": 5}}, "at most 3"),
        ({"refine": {"trials": 1}, "confirm": {"keep": 30}}, "at most 4"),
        ({"space": {}, "sampler": {"trials": 1}, "confirm": {"keep": 2}}, "at most 1"),
    ],
)
def test_what_contradicts_a_count_that_the_file_leaves_open_is_refused_at_once(
    tree: dict[str, Any], expected: str
) -> None:
    space = {"train.lr": {"log_uniform": [1e-4, 1e-2]}}
    with pytest.raises(InputError, match=f"confirm.keep must be {expected}"):
        parse_spec({"space": space} | tree)


def test_the_total_that_a_file_leaves_open_holds_all_known_points_of_every_screen() -> None:
    known = [{"name": f"m{n}", "preset": "mosi-mult", "train.lr": 1e-4 * n} for n in range(1, 31)]
    tree = {
        "space": {"model.kind": {"choice": ["hscl", "mult"]}, "train.lr": {"uniform": [1e-4, 1]}},
        "known": known,
        "sampler": {"kind": "random", "per": "model.kind"},
    }
    spec = parse_spec(tree)
    # Confirm: two winners on six seeds; two screens, each long enough for the larger one's points.
    assert spec.budget.epochs == 20 * (2 * 6 + 2 * 30)
    assert again(spec) == spec


def test_every_default_stands_in_the_frozen_file() -> None:
    tree = tomllib.loads(dump_spec(study()))
    assert tree["base"]["loss.temperature"] == 0.5
    assert tree["base"]["run.precision"] == "auto"
    assert tree["study"] == {
        "name": "study",
        "metric": "mae",
        "seed": 0,
        "epoch_timeout_s": 7200.0,
        "retries": 2,
    }
    assert tree["scheduler"] == {"kind": "asha", "grace_epochs": 1, "reduction_factor": 3}
    assert tree["confirm"]["looks"] == 1


def test_a_known_point_is_the_default_with_its_values() -> None:
    spec = parse_spec(tomllib.loads(RICH))
    old, released = spec.start_points[1:]
    assert old.config == spec.base.with_overrides({"loss.temperature": 2.0})
    # A point with a preset of its own still takes what [base] says.
    assert released.name == "released"
    assert released.config.loss.form == "released"
    assert released.config.train.epochs == 12
    assert released.config.train.lr == 1e-3


def test_what_makes_the_preset_of_a_known_point_is_not_undone_by_base() -> None:
    text = """
        [base]
        "model.modalities" = "text+audio"
        "train.batch_size" = 64
        "train.epochs" = 8
        [[known]]
        preset = "text-only"
        [[known]]
        name = "larger"
        preset = "text-only"
        "train.batch_size" = 256
        [sampler]
        kind = "list"
    """
    alone, larger = (point.config for point in parse_spec(tomllib.loads(text)).start_points[1:])
    assert alone == preset("text-only").with_overrides({"train.epochs": 8})
    assert larger == alone.with_overrides({"train.batch_size": 256})


def test_a_preset_may_be_a_file_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('preset = "mosei"\n[loss]\ntemperature = 0.2\n')
    (tmp_path / "study.toml").write_text(
        '[base]\npreset = "mine.toml"\n[space]\n"loss.alpha" = { uniform = [0.0, 1.0] }\n'
    )
    spec = load_spec(tmp_path / "study.toml")
    assert spec.study.name == "study"
    assert spec.base.loss.temperature == 0.2
    assert spec.base.train.lr == 1e-4
    # What is frozen doesn't depend on that file any more.
    assert again(spec) == spec


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ('preset = "mosei"\n[model]\nkind = "mult"', ""),
        ('preset = "text-only"\n[model]\nkind = "lf-dnn"', ""),
        ('preset = "mosei"', '"model.kind" = "mult"'),
    ],
)
def test_a_preset_in_a_file_may_change_the_kind_of_the_one_it_begins_with(
    tmp_path: Path, text: str, base: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "study.toml").write_text(
        f'[base]\npreset = "mine.toml"\n{base}\n[space]\n"train.lr" = {{ uniform = [0.1, 1.0] }}'
    )
    spec = load_spec(tmp_path / "study.toml")
    assert again(spec) == spec
    if "mosei" in text:  # all that mult uses is as the file says
        expected = preset("mosei").with_overrides({"model.kind": "mult"})
        assert spec.base.config_id == expected.config_id
        assert spec.base.train.lr == 1e-4


def test_what_a_file_says_counts_for_the_kind_that_the_study_asks_for(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('preset = "mosei"\n[model]\nkind = "mult"')
    tree = {"base": {"preset": "mine.toml", "model.kind": "hscl"}, "sampler": {"trials": 1}}
    spec = parse_spec(tree, folder=tmp_path)
    assert spec.base == preset("mosei")
    assert again(spec) == spec


def test_json_studies_read_as_toml_ones(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps(tomllib.loads(RICH)))
    assert load_spec(file) == parse_spec(tomllib.loads(RICH))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.toml"):
        load_spec(tmp_path / "nothing.toml")


def test_all_mistakes_come_in_one_message_each_with_its_key() -> None:
    text = """
    [studi]
    [study]
    metric = "mea"
    sed = 3
    seed = -1
    [base]
    "loss.temprature" = 1.0
    [space]
    "loss.alpha" = { log_uniform = [0, 1] }
    "loss.omega1" = { uniform = [1, 0] }
    [constraints]
    rules = ["loss.omga2 < 3"]
    [race]
    seeds = [1, 2, 3]
    [refine]
    trials = -1
    [confirm]
    seeds = [3, 4]
    [sampler]
    kind = "tpee"
    [resources]
    cpus = 0
    """
    with pytest.raises(InputError) as caught:
        parse_spec(tomllib.loads(text), source="x.toml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("x.toml: ") for line in lines)
    for expected in (
        "[studi] is no table of a study; did you mean 'study'?",
        "study.metric must be a metric, but got 'mea'; did you mean 'mae'?",
        "study.sed is no key of [study]; did you mean 'seed'?",
        "study.seed must be greater than or equal to 0, but got -1",
        "'loss.temprature' is no configuration key; did you mean 'loss.temperature'?",
        "space.'loss.alpha' log_uniform must have low > 0",
        "space.'loss.omega1' uniform must have low < high (are they reversed?)",
        "did you mean 'loss.omega2'",
        "sampler.kind must be 'tpe', 'gp', 'random', 'grid' or 'list', but got 'tpee'",
        "resources.cpus must be greater than or equal to 0.01",
        "[race] must not stand in a study since version 0.2, which has [refine] in its place",
        'refine.trials must be a number (0 or more) or "auto", but got -1',
    ):
        assert any(expected in line for line in lines), expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study = 3", "[study] must be a table"),
        ("known = 3", "[[known]] must be an array of tables"),
        ("race = 3", "[race] must not stand in a study since version 0.2"),
        ("[confirm]\nseeds = -1", "confirm.seeds must be a number of seeds"),
        ("[confirm]\nseeds = [1.5]", "confirm.seeds must be a number of seeds"),
        ("[confirm]\nkeep = 0", 'confirm.keep must be a number (1 or more) or "all"'),
        ("[confirm]\nkeep = true", 'confirm.keep must be a number (1 or more) or "all"'),
        ("[sampler]\ntrials = 0", 'sampler.trials must be a number (1 or more) or "auto"'),
        ("[refine]\ntrials = true", 'refine.trials must be a number (0 or more) or "auto"'),
        ("[refine]\nshare = 1.0", 'refine.share must be a number (0.01 to 0.99) or "auto"'),
        ("[refine]\nshare = true", 'refine.share must be a number (0.01 to 0.99) or "auto"'),
        ('[base]\npreset = "mosie"', "did you mean 'mosi'"),
        ('[base]\npreset = "gone.toml"', "gone.toml must be a readable text file"),
        ("[base]\npreset = 3", "preset must be a name or a path"),
        ("[[known]]\nname = 3", "[[known]] 1: name must be a text"),
        ('[[known]]\n"loss.x" = 3', "'loss.x' is no configuration key"),
        ("[confirm]\nseeds = 100_000", "(0 … 1,000)"),
        ("[confirm]\nlooks = 21", "confirm.looks must be less than or equal to 20"),
        (f"[base]\n'loss.alpha' = {10**400}", "base.loss.alpha must hold whole numbers"),
        ("[study]\nepoch_timeout_s = nan", "study.epoch_timeout_s must be a finite number"),
    ],
)
def test_a_wrong_form_is_a_mistake_and_no_crash(text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_spec(tomllib.loads(text))
    assert expected in str(caught.value)


def test_only_resources_may_change_on_resume() -> None:
    old = study()
    assert changed_keys(old, study("[resources]\ncpus = 4.0\ngpus = 1.0")) == []
    assert old.digest == study("[resources]\ncpus = 4.0\ngpus = 1.0").digest
    changed = changed_keys(old, study("[confirm]\nkeep = 2\n[base]\n'loss.alpha' = 0.3"))
    assert changed == ["base.loss.alpha: was 0.1, is 0.3", "confirm.keep: was 1, is 2"]
    assert old.digest != study("[confirm]\nkeep = 2").digest


def test_a_table_study_has_neither_screen_nor_refine_nor_scheduler() -> None:
    spec = study('[[known]]\n"loss.high" = false', sampler="list")
    assert (spec.scheduler.kind, spec.refine.trials, spec.confirm.keep) == ("none", 0, "all")
    assert spec.sampler.trials == 2
    assert again(spec) == spec


def test_a_grid_counts_its_configurations() -> None:
    space = (
        '[space]\n"loss.temperature" = { choice = [0.1, 0.5, 1.0] }\n'
        '"loss.low" = { choice = [true, false] }'
    )
    spec = study(space=space, sampler="grid")
    # Six points, one of them the default.
    assert spec.sampler.trials == 6
    assert again(spec) == spec


def old(tree: dict[str, Any]) -> dict[str, Any]:
    """A study as a version before 0.2 froze it."""
    changed = {name: keys for name, keys in tree.items() if name != "refine"}
    return changed | {"race": {"keep": 3, "seeds": [5, 6]}}


def test_a_study_frozen_before_refine_reads_back_to_itself() -> None:
    tree = old(tomllib.loads(dump_spec(study())))
    spec = parse_spec(tree, frozen=True)
    assert spec.is_of_old_phases
    assert spec.tree() == tree


def test_a_table_goes_on_whatever_its_version_wrote_of_phases_it_has_not() -> None:
    table = study('[[known]]\n"loss.high" = false', sampler="list")
    before = parse_spec(old(tomllib.loads(dump_spec(table))), frozen=True)
    assert not before.is_of_old_phases
    assert changed_keys(before, table) == []
    other = study('study.seed = 3\n[[known]]\n"loss.high" = false', sampler="list")
    assert changed_keys(before, other) == ["study.seed: was 0, is 3"]


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["mosi", "all", "auto", "tpe", "list", "grid", "loss.alpha < 1", "loss.alpha"]
    ),
)
KEYS = st.sampled_from(
    [
        *("loss.alpha", "loss", "train.epochs", "run.threads", "x", "preset", "name"),
        *("uniform", "int", "choice", "when", "rules", "kind", "seeds", "keep", "trials"),
        *("looks", "epochs", "share"),
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
TABLES = [
    "study",
    "base",
    "space",
    "constraints",
    "known",
    "sampler",
    "refine",
    "confirm",
    "budget",
]


@given(st.dictionaries(st.sampled_from(TABLES), TREES))
@settings(max_examples=150, deadline=None)
def test_whatever_a_file_holds_the_answer_is_a_study_or_one_message(tree: dict[str, Any]) -> None:
    try:
        spec = parse_spec(tree)
    except InputError:
        return
    assert again(spec) == spec


def test_rows_may_be_of_other_kinds_of_models() -> None:
    tree = {
        "base": {"loss.temperature": 0.1, "train.epochs": 3},
        "known": [{"preset": "mosi-mult"}, {"preset": "mosei", "name": "mosei"}],
        "sampler": {"kind": "list"},
    }
    spec = parse_spec(tree)
    _, mult, mosei = (point.config for point in spec.start_points)
    expected = preset("mosi-mult").with_overrides({"loss.temperature": 0.1})
    assert mult.config_id == expected.config_id  # epochs are what makes that preset
    assert (mosei.model.kind, mosei.loss.temperature) == ("hscl", 0.1)
    assert parse_spec(spec.tree()) == spec


def test_a_study_of_another_kind_reads_back_and_takes_no_key_that_it_does_not_use() -> None:
    tree = {"base": {"preset": "mosei", "model.kind": "mult"}, "sampler": {"trials": 1}}
    spec = parse_spec(tree)
    assert parse_spec(spec.tree()) == spec
    assert spec.base.loss.omega2 == 0.05  # of the preset; means nothing to mult
    with pytest.raises(
        InputError, match=r"\[base\] loss.alpha means nothing to model.kind = 'mult'"
    ):
        parse_spec({"base": {"model.kind": "mult", "loss.alpha": 0.5}})
    same = {"name": "same", "model.mult.layers": 4}
    with pytest.raises(InputError, match="same configuration as the default"):
        parse_spec(tree | {"known": [same]})


def test_settings_go_to_the_section_that_they_name_else_to_the_base() -> None:
    tree = {"base": {"train": {"epochs": 9, "lr": 1e-3}}, "confirm": {"seeds": 4}}
    space = {"uniform": [0.1, 0.9]}
    changed = with_settings(
        tree, {"train.epochs": 3, "confirm.looks": 2, "space.loss.temperature": space}
    )
    spec = parse_spec(changed)
    assert (spec.base.train.epochs, spec.base.train.lr) == (3, 1e-3)
    assert (spec.confirm.seeds, spec.confirm.looks) == (4, 2)
    assert list(spec.space) == ["loss.temperature"]
    assert tree["confirm"] == {"seeds": 4}
    with pytest.raises(InputError, match=r"confirm\.sedes is no key"):
        parse_spec(with_settings(tree, {"confirm.sedes": 3}))
    with pytest.raises(InputError, match=r"known\.loss\.alpha is of \[\[known\]\], a list"):
        with_settings(tree | {"known": [{"loss.alpha": 0.3}]}, {"known.loss.alpha": 5})


def test_a_key_in_two_spellings_is_named_with_its_table() -> None:
    twice = {"train.lr": 0.1, "train": {"lr": 0.2}}
    tree = {"known": [{"name": "hot", **twice}]}
    with pytest.raises(InputError, match=r"\[base\] the key 'train\.lr' stands twice"):
        parse_spec({"base": twice})
    with pytest.raises(
        InputError, match=r"\[\[known\]\] 1 \(hot\): the key 'train\.lr' stands twice"
    ):
        parse_spec(tree)
    with pytest.raises(InputError, match=r"\[base\] ~nobody-of-that-name/p\.toml must begin with"):
        parse_spec({"base": {"preset": "~nobody-of-that-name/p.toml"}})
