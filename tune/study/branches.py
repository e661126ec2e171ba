"""The screens of a study with `sampler.per`: each is a study of its own, with an equal budget.

A branch is all configurations with one value of that parameter, such as one kind of model. Its
first start point is its default: what is not searched in the branch stays as it is there.
"""

from tune.study.allocation import confirm_epochs
from tune.study.space import Distribution, Value
from tune.study.spec import StartPoint, StudySpec

__all__ = ["branches_of", "starts_by_branch"]


def starts_by_branch(spec: StudySpec) -> dict[Value, list[StartPoint]]:
    """The default and the known points by their value of `sampler.per`, the default's first."""
    found: dict[Value, list[StartPoint]] = {}
    for start in spec.start_points:
        found.setdefault(start.config.dotted()[str(spec.sampler.per)], []).append(start)
    return found


def branches_of(spec: StudySpec) -> dict[Value, StudySpec]:
    """Each branch's screen as the specification of a study without confirm.

    Args:
        spec: A study; without `sampler.per` it has no branches.

    Returns:
        By value, the default's first. Every branch has as many trials, and an equal share of the
        epochs that confirm leaves.
    """
    if spec.sampler.per is None:
        return {}
    starts = starts_by_branch(spec)
    share = (spec.budget.epochs - confirm_epochs(spec, candidates=1)) // len(starts)
    given = {name: getattr(spec, name) for name in StudySpec.model_fields}
    return {
        value: StudySpec.model_construct(
            **given
            | {
                "base": first.config,
                "space": _space_of(spec, value),
                "known": (),
                "sampler": spec.sampler.model_copy(update={"per": None}),
                "confirm": spec.confirm.model_copy(update={"seeds": 0}),
                "budget": spec.budget.model_copy(
                    update={"epochs": share if spec.budget.epochs else 0}
                ),
            }
        )
        for value, (first, *_) in starts.items()
    }


def _space_of(spec: StudySpec, value: Value) -> dict[str, Distribution]:
    """What is searched where `sampler.per` has this value, which is no parameter any more."""
    per = str(spec.sampler.per)
    space: dict[str, Distribution] = {}
    for name in spec.searched.ordered:  # each after those that its condition names
        some = spec.space[name]
        rest = tuple(need for need in some.when if need[0] != per)
        here = all(need[1] == value for need in some.when if need[0] == per)
        if name != per and here and all(parent in space for parent, _ in rest):
            space[name] = Distribution(some.kind, some.values, rest)
    return space
