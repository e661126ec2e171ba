"""What a figure's first sentence says is so in what it draws."""

from dataclasses import replace

import pytest
from study_factory import Simulated, evidence_of

from tune.charts.axes import Axis
from tune.charts.figures import charts_of
from tune.charts.findings import of_cells, of_curves, of_lines, of_pairs, of_progress, of_shares
from tune.evidence.curves import Label, Progress
from tune.evidence.variance import SEED
from tune.states import Phase, TrialState, Verdict
from tune.stats.effects import VarianceShare

WHAT = Simulated(trials=8, refined=3, gap=-0.12, seed=1, failures=1)
NAMES = {"a": Label("winner (configuration 7)", "winner"), "b": Label("default", "default")}


def test_every_figure_begins_with_what_to_see() -> None:
    for what in (WHAT, Simulated(sampler="list", confirm_seeds=5, epochs=3)):
        charts = charts_of(evidence_of(what))
        assert charts
        for chart in charts.values():
            assert chart.finding.endswith("."), chart.name
            assert chart.finding.count("\n") == 0


def test_a_pairs_sentence_counts_the_seeds_and_says_which_interval_misses_zero() -> None:
    compared = evidence_of(WHAT).comparison
    assert compared is not None
    pair = compared.primary
    assert pair is not None
    assert pair.this_test_set is not None
    assert pair.new_videos is not None
    ahead = sum(difference < 0 for difference in pair.differences)
    labels = {pair.first: NAMES["a"], pair.second: NAMES["b"]}
    far = replace(pair.new_videos, estimate=-0.1, low=-0.2, high=-0.05)
    wide = replace(far, high=0.05)
    for here, new, said in (
        (far, far, "misses 0, and so does that on videos like these."),
        (far, wide, "misses 0, that on videos like these holds it."),
        (wide, wide, "holds 0, and so does that on videos like these."),
        (far, None, f"misses 0, and {pair.videos} videos give none for new videos."),
    ):
        told = of_pairs([replace(pair, this_test_set=here, new_videos=new)], labels)
        assert told.startswith(f"Winner (configuration 7) is ahead on {ahead} of ")
        assert told.endswith(said)
    several = [replace(pair, new_videos=far), replace(pair, new_videos=wide)]
    told = of_pairs(several, labels)
    assert told == "1 of 2 intervals (winner (configuration 7)) misses 0 on videos like these."
    bare = replace(pair, this_test_set=None, new_videos=None)
    told = of_pairs([replace(pair, this_test_set=far, new_videos=None), bare], labels)
    assert told.startswith("1 of 1 interval (winner (configuration 7)) misses 0 on this test set,")
    told = of_pairs([bare, bare], labels)
    assert told == "No interval can be given for any of 2 pairs: each has too few seeds."


def test_cells_are_called_better_only_by_their_verdict() -> None:
    labels = {"a": Label("one", "other"), "b": NAMES["b"]}
    means = [0.7, 0.75]
    assert of_cells(means, {"a": Verdict.UNDECIDED}, labels, 0.02) == (
        "No cell has the verdict better; from the worst cell to the best it is 0.050, 2.5 of one "
        "seed's deviations."
    )
    assert of_cells(means, {"a": Verdict.BETTER}, labels, None).startswith(
        "Better than the reference: one; "
    )


def test_gains_within_the_noise_count_as_none() -> None:
    best = (0.9, 0.8, 0.78, 0.7, 0.69, 0.69)
    progress = Progress((1, 2, 3, 4, 5, 6), best, ("a",) * 6, (), 1.0)
    assert "From epoch 4 of 6 epochs on" in of_progress(progress, "mae", 0.02)
    assert "came at epoch 5 of 6 epochs" in of_progress(progress, "mae", None)
    rising = replace(progress, best=tuple(1.0 - value for value in best))
    assert "From epoch 4 of 6 epochs on" in of_progress(rising, "corr", 0.02)


def test_seeds_of_winner_and_default_overlap_or_they_do_not() -> None:
    trials = evidence_of(WHAT).trials
    done = [t for t in trials if t.phase is Phase.CONFIRM and t.state is TrialState.DONE]
    labels = evidence_of(WHAT).labels
    ends = {
        role: [t.value for t in done if labels[t.config_id].role == role and t.value is not None]
        for role in ("winner", "default")
    }
    apart = max(ends["winner"]) < min(ends["default"])
    told = of_curves(trials, labels, "mae", 0.02)
    assert ("every seed of the winner (configuration" in told) == apart
    assert ("overlap" in told) == (not apart)
    search = [t for t in trials if t.phase.searches]
    values = [t.value for t in search if t.state is TrialState.DONE and t.value is not None]
    level = sum(value <= min(values) + 0.02 for value in values)
    assert of_curves(search, labels, "mae", 0.02).startswith(
        f"{level} of {len(values)} complete trainings end within"
    )
    assert of_curves([], labels, "mae", 0.02) == "No training is complete yet."


@pytest.mark.parametrize(
    ("width", "said"),
    [
        (0.01, "they lie close together in learning rate alone."),
        (1.0, "they span half of what was tried, or more, in every parameter."),
    ],
)
def test_what_the_level_ones_share_is_what_they_lie_close_together_in(
    width: float, said: str
) -> None:
    values = {f"c{n}": 0.70 + (0.001 if n % 2 else 0.1) for n in range(8)}
    settings = {
        f"c{n}": {"train.lr": n / 7 * (width if n % 2 else 1.0), "loss.alpha": n / 7}
        for n in range(8)
    }
    axes = [Axis("train.lr"), Axis("loss.alpha")]
    told = of_lines(values, settings, axes, "mae", 0.02)
    assert told.startswith("4 of 8 complete trainings end within one seed's deviation")
    assert told.endswith(said)
    assert "too few" in of_lines(values | {"c0": 0.5}, settings, axes, "mae", 0.02)


def test_only_what_was_tested_and_matters_stands_out() -> None:
    seed = VarianceShare(SEED, 0.74)
    quiet = VarianceShare("loss.alpha", 0.2, matters=False)
    loud = VarianceShare("train.lr", 0.4, matters=True)
    assert of_shares([seed, quiet]) == (
        "No parameter stands out from the noise; the seed has 74 % of the variance."
    )
    assert of_shares([seed, quiet, loud]).startswith("Learning rate stands out from the noise; ")
    assert of_shares([seed, replace(loud, matters=None)]).startswith("No parameter was tested")
