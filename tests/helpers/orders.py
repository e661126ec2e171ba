"""An order as a worker gets it."""

from synthetic import Data

from tune.states import Phase
from tune.trial.messages import TrialOrder

ORDER = TrialOrder(
    trial_id="abc-1",
    config="{}",
    seed=1,
    phase=Phase.SCREEN,
    attempt=1,
    metric="mae",
    recorded=0,
    splits=(),
    study="/tmp/study",
    data=Data().where,
    digest=Data().digest,
    cpus=1.0,
    gpus=0.0,
    epoch_timeout_s=60.0,
    checkpoint_s=5.0,
    stop_key=b"stop",
)
