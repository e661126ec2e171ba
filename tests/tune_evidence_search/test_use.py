"""The one answer that every screen begins with."""

from dataclasses import replace

import pytest
from study_factory import Simulated, evidence_of

from hscl.config import PRESETS, Config
from hscl.config_toml import parse_config
from tune.evidence.pair import Judgement
from tune.evidence.search.choice import Reason
from tune.evidence.search.use import cost_rows, short_toml, use_lines, value_rows
from tune.states import Phase, Verdict
from tune.tables.salvage import UNKNOWN

WHAT = Simulated(trials=8, epochs=4, refined=3, confirm_seeds=5, seed=1)


def test_the_answer_names_a_configuration_its_values_and_how_to_train_it() -> None:
    evidence = evidence_of(WHAT)
    use, history = evidence.use, evidence.history
    assert use is not None
    assert use.config_id == history.winner
    used = history.configs[use.config_id].params
    assert {one.name: one.used for one in use.values} == dict(used)
    assert {one.name: one.default for one in use.values} == {
        name: PRESETS["mosi"].dotted()[name] for name in used
    }
    assert parse_config(use.toml).config_id == use.config_id
    assert use.commands[0] == f"hscl export {evidence.where} --out best.toml"
    assert use.commands[1].startswith("hscl train best.toml ")
    assert "train.epochs = 4" in use.default


def test_the_second_sentence_has_the_verdict_and_both_intervals() -> None:
    evidence = evidence_of(WHAT)
    assert evidence.comparison is not None
    pair = evidence.comparison.primary
    assert pair is not None
    assert evidence.use is not None
    sentence = evidence.use.sentences[1]
    for interval in (pair.new_videos, pair.this_test_set):
        assert interval is not None
        assert f"{interval.low:+.4f}".replace("-", "−") in sentence
        assert f"{interval.high:+.4f}".replace("-", "−") in sentence
    assert "for videos like these" in sentence
    assert "on this test set" in sentence


def test_where_the_default_is_the_honest_choice_it_is_what_to_use() -> None:
    evidence = evidence_of(WHAT)
    compared = evidence.comparison
    assert compared is not None
    assert compared.primary is not None
    worse = replace(compared.primary, judgement=Judgement(Verdict.WORSE, reason="so it is"))
    turned = replace(evidence, comparison=replace(compared, primary=worse))
    assert turned.choice is not None
    assert turned.choice.reason is Reason.WORSE
    assert turned.use is not None
    assert turned.use.name == "default"
    assert turned.use.sentences[0].startswith("Use the default: ")
    assert all(one.used == one.default for one in turned.use.values)
    assert parse_config(turned.use.toml) == turned.spec.base


@pytest.mark.parametrize("seen", [True, False])
def test_where_collapses_forbid_a_verdict_the_answer_says_what_to_do_next(*, seen: bool) -> None:
    evidence = evidence_of(WHAT)
    compared = evidence.comparison
    assert compared is not None
    assert compared.primary is not None
    valued = {
        trial.seed: trial.value
        for trial in evidence.trials
        if trial.phase is Phase.CONFIRM and trial.config_id == compared.primary.first
    }
    worst = max(valued, key=lambda seed: valued[seed] or 0.0)
    best = min(valued, key=lambda seed: valued[seed] or 0.0)
    fallen = ((worst if seen else best,), ())
    told = Judgement(Verdict.UNDECIDED, reason="1 against 0 collapsed", overruled=True)
    pair = replace(compared.primary, judgement=told, fallen=fallen)
    use = replace(evidence, comparison=replace(compared, primary=pair)).use
    assert use is not None
    said = use.sentences[-1]
    assert said.startswith("What to do next: ")
    assert ("one is seen before it is used" in said) == seen
    assert ("nobody sees one before it is used" in said) == (not seen)
    assert "--fresh --seeds 20 --out NEW" in said
    lost = replace(pair, fallen=((), ()), failures=(1, 0))
    use = replace(evidence, comparison=replace(compared, primary=lost)).use
    assert use is not None
    assert "has each run's error" in use.sentences[-1]
    # Two failures of the winner weigh more than one collapse of the default, and forbid as much.
    for failures in ((2, 0), (1, 0)):
        more = replace(lost, fallen=((), (worst,)), failures=failures)
        use = replace(evidence, comparison=replace(compared, primary=more)).use
        assert use is not None
        assert "has each run's error" in use.sentences[-1]
    both = replace(lost, fallen=((worst, best), ()), failures=(0, 1))
    use = replace(evidence, comparison=replace(compared, primary=both)).use
    assert use is not None
    assert "before it is used" in use.sentences[-1]


@pytest.mark.parametrize("until", ["screen", "refine", "confirm"])
def test_there_is_no_answer_while_the_study_runs(until: str) -> None:
    assert evidence_of(replace(WHAT, until=until)).use is None


def test_lists_choose_nothing() -> None:
    assert evidence_of(Simulated(sampler="list", confirm_seeds=5, epochs=3)).use is None


def test_a_study_without_confirm_has_an_answer_too() -> None:
    use = evidence_of(Simulated(trials=6, refined=3, confirm_seeds=0, epochs=3)).use
    assert use is not None
    assert len(use.sentences) == 1


@pytest.mark.parametrize("preset", [*PRESETS])
def test_the_short_file_is_read_back_as_the_same_configuration(preset: str) -> None:
    config = PRESETS[preset].with_settings({"train.lr": 0.00123, "model.text.encoder": "a/b"})
    for start in ("mosi", preset):
        text = short_toml(start, config.to_json())
        assert parse_config(text).values() == config.values()
    assert text.splitlines() == [
        f'preset = "{preset}"',
        "train.lr = 0.00123",
        'model.text.encoder = "a/b"',
    ]
    assert short_toml(preset, UNKNOWN) == ""


def test_what_only_says_how_it_ran_is_no_part_of_the_file() -> None:
    config = Config().with_settings({"run.threads": 3})
    assert "run" not in short_toml("mosi", config.to_json())


def test_plain_text_holds_all_of_it_in_order() -> None:
    use = evidence_of(WHAT).use
    assert use is not None
    text = "\n".join(use_lines(use))
    places = [
        text.index(part)
        for part in (*use.sentences, "loss.temperature", "best.toml", *use.commands, "in all")
    ]
    assert places == sorted(places)
    assert all(cell in text for row in value_rows(use) for cell in row)
    assert all(cell in text for row in cost_rows(use.cost) for cell in row)
    told = use.to_dict()
    assert told["values"]["loss.temperature"]["default"] == PRESETS["mosi"].loss.temperature
    assert told["cost"]["trainings"] == use.cost.trainings
