"""Files of settings from strangers: small, shallow, plain, and read at once or not at all."""

import os
import time
from pathlib import Path

import pytest

from hscl.documents import read_document
from hscl.errors import InputError


def laughs(step: str) -> str:
    """Each line names the one before ten times."""
    lines = [f"a{i}: &a{i} " + step.format(", ".join([f"*a{i - 1}"] * 10)) for i in range(1, 12)]
    return "\n".join(["a0: &a0 {k: 1}", *lines])


HOSTILE = {
    "laughs.yaml": (laughs("[{}]"), "at most 100,000 values"),
    "merges.yaml": (laughs("{{<<: [{}]}}"), "at most 100,000 values"),
    "itself.yaml": ("a: &a [*a]", "nested at most 32 deep"),
    "deep.yaml": ("[" * 100_000, "nested at most 32 deep"),
    "deeper.yaml": ("".join(" " * i + "a:\n" for i in range(900)), "nested at most 32 deep"),
    "deep.json": ('{"a":' * 900 + "1" + "}" * 900, "nested"),
    "deeper.json": ("[" * 100_000, "nested"),
    "dotted.toml": (".".join("a" * 3000) + " = 1", "nested at most 32 deep"),
    "lists.toml": ("a = " + "[" * 5000, "nested too deeply"),
    "numbers.yaml": ("1: 2", "every key must be a text on one line, but one is 1"),
    "lists.yaml": ("[1, 2]: 2", "must be yaml"),
    "escapes.toml": ('"a\\u001b[31m" = 1', "every key must be a text on one line"),
    "name.toml": ('[study]\nname = "a\\u001b[31m"', "no text may hold control characters"),
    "twice.yaml": ("a: {b: 1, b: 2}", "the key 'b' stands twice"),
    "twice.json": ('{"a": 1, "a": 1}', "the key 'a' stands twice"),
    "twice.toml": ("a = 1\na = 1", "must be toml"),
    "python.yaml": ("a: !!python/object/apply:os.system [ls]", "must be yaml"),
    "large.toml": ("#" * (3 << 20), "at most 2,097,152 bytes long"),
    "list.yaml": ("- a", "must hold tables of keys, but holds a list"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_message_and_at_once(tmp_path: Path, name: str) -> None:
    content, reason = HOSTILE[name]
    (tmp_path / name).write_text(content)
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        read_document(tmp_path / name)
    assert reason in str(caught.value)
    assert time.process_time() - began < 5


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.toml", tmp_path / "endless.toml", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match="is no regular file"):
            read_document(path)
    for path in (tmp_path / "a\0b.toml", tmp_path / "none.toml"):
        with pytest.raises(InputError, match="must be a readable text file"):
            read_document(path)


def test_numbers_are_those_of_yaml_1_2_and_references_work(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1e-3\nb: -.5E+2\nc: v1e3\nd: &d {x: 1.5}\ne: *d\nf: {<<: *d, y: 0x10}\n")
    assert read_document(path) == {
        "a": 0.001,
        "b": -50.0,
        "c": "v1e3",
        "d": {"x": 1.5},
        "e": {"x": 1.5},
        "f": {"x": 1.5, "y": 16},
    }
    path.write_text("")
    assert read_document(path) == {}


@pytest.mark.parametrize(
    ("name", "text"), [("a.toml", 'a = "ü"'), ("a.json", '{"a": "ü"}'), ("a.yaml", "a: ü")]
)
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert read_document(tmp_path / name) == {"a": "ü"}
