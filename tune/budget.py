"""What race and confirm will need, and whether the screen may propose another trial."""

from tune.study_spec import StudySpec

__all__ = ["reserved_epochs"]


def reserved_epochs(spec: StudySpec, candidates: int) -> int:
    """Epochs that race and the first look at confirm take at most.

    Args:
        spec: The study.
        candidates: Configurations other than the default that there can be.

    Returns:
        Trials of the two phases times the length of the longest.
    """
    seeds = spec.seed_plan()
    entering = candidates if spec.race.keep == "all" else min(spec.race.keep, candidates)
    ranked = entering if seeds.race else candidates
    confirmed = ranked if spec.confirm.keep == "all" else min(spec.confirm.keep, ranked)
    trials = len(seeds.race) * (entering + 1) + len(seeds.looks[0]) * (confirmed + 1)
    return trials * spec.longest_trial
