"""Digests depend on content alone."""

import hashlib
from pathlib import Path

import pytest

from hscl.digest import digest_folder, digest_json


def test_the_order_of_keys_does_not_matter_and_values_do() -> None:
    assert digest_json({"a": 1, "b": [2.5]}) == digest_json({"b": [2.5], "a": 1})
    assert digest_json({"a": 1}) != digest_json({"a": 2})


def test_the_digest_is_sha256_over_compact_sorted_json() -> None:
    assert digest_json({"b": None, "a": 0.1}) == hashlib.sha256(b'{"a":0.1,"b":null}').hexdigest()


def test_a_number_that_is_not_finite_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest_json({"a": float("nan")})


def test_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text("content")
    one, two = tmp_path / "one", tmp_path / "two"
    assert digest_folder(one) == digest_folder(two)
    (two / ".hidden").write_text("does not count")
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "x.pyc").write_text("neither")
    assert digest_folder(one) == digest_folder(two)
    (two / "sub" / "file").rename(two / "sub" / "renamed")
    assert digest_folder(one) != digest_folder(two)
