"""What travels between driver and worker survives the journey."""

import pickle

from synthetic import Data

from tune.messages import Breakdown, Message, Say, TrialBrokeError, TrialOrder
from tune.states import Phase

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
    epoch_timeout_s=60.0,
    checkpoint_s=5.0,
    stop_key=b"stop",
)


def test_an_order_is_short_in_a_trials_tag() -> None:
    assert repr(ORDER) == "abc-1"
    assert pickle.loads(pickle.dumps(ORDER)) == ORDER


def test_a_message_comes_back_whole() -> None:
    message = Message(Say.REPORT, "host", "fp32", row={"epoch": 1})
    assert pickle.loads(pickle.dumps(message)) == message


def test_an_error_keeps_its_kind_when_it_is_sent() -> None:
    error = pickle.loads(pickle.dumps(TrialBrokeError("memory", "32 GB asked for")))
    assert error.breakdown == Breakdown("memory", "32 GB asked for")
    assert str(error.breakdown) == "memory: 32 GB asked for"
