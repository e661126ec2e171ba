"""The words that tables use for what a trial, a phase, a point or a verdict is."""

from enum import StrEnum

__all__ = ["Kind", "Origin", "Phase", "TrialState", "Verdict"]


class TrialState(StrEnum):
    """What the last event of a trial says about it."""

    STARTED = "started"
    """Running, or its end was never written: it runs again under the same name."""
    DONE = "done"
    """Complete: all epochs, or ended by its own patience."""
    PRUNED = "pruned"
    """Stopped by the scheduler at a rung."""
    FAILED = "failed"
    """Its own exception, a non-finite value, out of memory, or a timeout."""


class Phase(StrEnum):
    """The three parts of a study, in order."""

    SCREEN = "screen"
    RACE = "race"
    CONFIRM = "confirm"


class Origin(StrEnum):
    """Where a configuration comes from."""

    DEFAULT = "default"
    KNOWN = "known"
    SAMPLER = "sampler"


class Verdict(StrEnum):
    """What a comparison may claim."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


class Kind(StrEnum):
    """What a row of the `plan` table records. Who writes it stands behind each."""

    PHASE_BEGUN = "phase_begun"
    """Planner. `phase`; `seeds` that it will use; `note` with its size."""
    SEEDS = "seeds"
    """Planner, when the study begins. `phase` and the `seeds` reserved for it."""
    BUDGET_REACHED = "budget_reached"
    """Planner. The screen proposes nothing more; `value` is what was spent; `note` says why."""
    SPACE_EXHAUSTED = "space_exhausted"
    """Sampler. No further point that satisfies the constraints is new; the screen ends."""
    FINALIST = "finalists"
    """Planner. `phase` that `config_id` enters, its `value` so far, its rank in `note`."""
    ROUND = "round"
    """Planner. Seed number `value` of the race was decided; `config_id` is the leader."""
    DROPPED = "dropped"
    """Planner. `config_id` leaves the race, compared with `other_config_id`; `value` is p."""
    WINNER = "winner"
    """Planner, before confirm. `config_id` (null: there is none) against `other_config_id`."""
    PRIMARY = "primary"
    """Planner. The primary comparison: `config_id` against `other_config_id`, margin `value`."""
    LOOK = "look"
    """Planner and `hscl confirm`. Look number `value` at confirm, on `seeds`."""
    LOOK_PLANNED = "look_planned"
    """Planner, all before the first look. `seeds` that it adds, its level `value`; the size so far
    in `note`."""
    LOOKS_ORDERED = "looks_ordered"
    """`hscl confirm`. A person ordered further seeds: looks go on up to `value` pairs in all."""
    CONFIRM_ENDED = "confirm_ended"
    """Driver, after a look. What was ordered can change no answer: `value` trainings are saved."""
    GAVE_UP = "gave_up"
    """Planner. Everything fails; `note` has the last error. Nothing more is started."""
    RESUMED = "resumed"
    """Driver, on a start after `gave_up`: a person asked again."""
    TEST_OPENED = "test_opened"
    """Driver. Test was opened for the study's first confirm trial, or before a warm start."""
    DATA = "data"
    """Driver, before anything else. `note` is the data set's digest: a resume needs the same."""
    WARM_START = "warm_start"
    """Driver. `note` names the earlier study; `seeds` are all those that it used."""
    WARM_POINT = "warm_point"
    """Driver. One screened point of the earlier study, as JSON in `note`."""
