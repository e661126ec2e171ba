"""Facts are plain values: as JSON they say the same."""

import json

from check_reports import facts


def test_a_report_is_the_same_as_json() -> None:
    report = facts()
    values = json.loads(json.dumps(report.to_dict()))
    assert values == report.to_dict()
    assert values["splits"]["train"]["modalities"]["audio"]["median"] == 4.0


def test_utterances_are_those_of_all_splits() -> None:
    assert facts().utterances == 30
