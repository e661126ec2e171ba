"""The words that tables use for what a trial, a phase, a point or a verdict is."""

from enum import StrEnum
from typing import Final

__all__ = ["NODE_BROKE", "Kind", "Origin", "Phase", "TrialState", "Verdict"]


NODE_BROKE: Final = "node broke"
"""Why a trial was started again: its worker did not come up, on a node on which none ever did."""


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
    """The parts of a study, in order."""

    SCREEN = "screen"
    """Many configurations on one seed, stopped early."""
    REFINE = "refine"
    """Trainings of full length of what the model proposes."""
    RACE = "race"
    """Only read: tables written before 0.2 have it in refine's place."""
    CONFIRM = "confirm"
    """Winner and default on fresh seeds; test is opened here."""

    @property
    def searches(self) -> bool:
        """Whether its trials are there to choose among configurations, one seed each."""
        return self in {Phase.SCREEN, Phase.REFINE}


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
    """Planner. `phase`; `seeds` that it will use; `note` with its size. Of refine, `value` is the
    number of its first configuration."""
    SEEDS = "seeds"
    """Planner, when the study begins. `phase` and the `seeds` reserved for it."""
    BUDGET_REACHED = "budget_reached"
    """Planner. Nothing more is proposed; `value` is what was spent; `note` says why."""
    SPACE_EXHAUSTED = "space_exhausted"
    """Sampler. No further point that satisfies the constraints is new; the search ends."""
    FINALIST = "finalists"
    """Planner. `phase` that `config_id` enters, its `value` so far, its rank in `note`."""
    ROUND = "round"
    """Only read, of tables written before 0.2."""
    DROPPED = "dropped"
    """Only read, of tables written before 0.2: `config_id` was given up."""
    WINNER = "winner"
    """Planner, before confirm. `config_id` (null: there is none) against `other_config_id`;
    `value` that is expected of it."""
    PREFERRED = "preferred"
    """Planner, with `winner`: no less is expected of the default, `config_id`, than of the winner,
    `other_config_id`; `value` is what is expected of the default."""
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
    SPECIFICATION = "specification"
    """Driver, before anything else, and where a person changes what is asked by an explicit
    option. `note` is JSON: `digest` and `study`; of a change also `before` and `changed`."""
    DATA = "data"
    """Driver, before anything runs. `note` is the data set's digest, `value` the range of its
    labels (since 0.3): a resume needs the same."""
    PRECISION = "precision"
    """Driver, where a study begins. `note` is what `run.precision = "auto"` means for its trials
    on CPUs, on every worker and after every restart; without such a row it is fp32."""
    CODE = "code"
    """Driver, at the first start and wherever it goes on with other code. `note` is JSON: a digest
    of the packages' sources and the versions of what they compute with."""
    DEVICES = "devices"
    """Driver, at the first start and wherever it changes. A trial has `value` GPUs, or a share."""
    SHARED_SPEAKERS = "shared_speakers"
    """Driver, before anything runs. Speakers of test who are in train or valid too: `note`."""
    REPAIRED = "repaired"
    """`hscl repair`. Rows were lost and given up: `note` is JSON, `lost` by table (`files`, `rows`
    `of` how many), `again`, `ended` and `restored` how many trials and configurations."""
    TRIAL_STOPPED = "trial_stopped"
    """Driver, asked by `hscl stop`. A person stopped the trial of `config_id` on `seeds`."""
    UNSAVED = "unsaved"
    """Driver, once a trial. A checkpoint of `config_id` on `seeds` could not be written, `note`
    says why. The trial goes on; interrupted, it would begin earlier."""
    NOTE = "note"
    """Driver, asked by `hscl note`. What a person has to say about the study: `note`."""
    WARM_START = "warm_start"
    """Driver. `note` names the earlier study; `seeds` are all those that it used."""
    WARM_POINT = "warm_point"
    """Driver. One point that the earlier study's search ran, as JSON in `note`."""
