"""What travels between driver and worker survives the journey."""

import pickle

from orders import ORDER

from tune.trial.messages import Breakdown, Message, MessageKind, TrialBrokeError


def test_an_order_is_short_in_a_trials_tag() -> None:
    assert repr(ORDER) == "abc-1"
    assert pickle.loads(pickle.dumps(ORDER)) == ORDER


def test_a_message_comes_back_whole() -> None:
    message = Message(MessageKind.REPORT, "host", "fp32", row={"epoch": 1})
    assert pickle.loads(pickle.dumps(message)) == message


def test_an_error_keeps_its_kind_when_it_is_sent() -> None:
    error = pickle.loads(pickle.dumps(TrialBrokeError("memory", "32 GB asked for")))
    assert error.breakdown == Breakdown("memory", "32 GB asked for")
    assert str(error.breakdown) == "memory: 32 GB asked for"
