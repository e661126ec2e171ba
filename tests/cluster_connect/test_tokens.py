"""Tokens are private files, found where Ray finds them, and never printed."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.connect.tokens import create_token, default_path, find_token, tighten
from hscl.errors import InputError


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_token_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / ".ray" / "auth_token"
    before = os.umask(umask)
    try:
        assert create_token(path)
    finally:
        os.umask(before)
    assert _mode(path) == 0o600
    assert _mode(path.parent) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["auth_token"]
    assert len(bytes.fromhex(path.read_text())) == 32


def test_an_existing_token_is_kept_and_tightened(tmp_path: Path) -> None:
    path = tmp_path / "auth_token"
    path.write_text("abc")
    path.chmod(0o644)
    assert not create_token(path)
    assert path.read_text() == "abc"
    assert _mode(path) == 0o600
    assert not tighten(path)


def test_a_folder_is_no_token_and_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(InputError, match=rf"such as {tmp_path}/auth_token"):
        create_token(tmp_path)
    with pytest.raises(InputError, match="must be readable, but: Is a directory"):
        find_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path)})
    assert _mode(tmp_path) == 0o755


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".auth_token.{os.getpid()}").touch()
    assert create_token(tmp_path / "auth_token")


def test_two_tokens_are_never_equal(tmp_path: Path) -> None:
    create_token(tmp_path / "a")
    create_token(tmp_path / "b")
    assert (tmp_path / "a").read_text() != (tmp_path / "b").read_text()


def test_the_order_of_places_is_rays_own(tmp_path: Path) -> None:
    """Ray's loader, in a fresh process, must find the same token in the same place."""
    home, named = tmp_path / "home", tmp_path / "named"
    create_token(home / ".ray" / "auth_token")
    create_token(named)
    cases = [
        {},
        {"RAY_AUTH_TOKEN_PATH": str(named)},
        {"RAY_AUTH_TOKEN_PATH": str(named), "RAY_AUTH_TOKEN": "f" * 64},
    ]
    code = (
        "from ray._raylet import AuthenticationTokenLoader as L; "
        "print(L.instance().get_raw_token(ignore_auth_mode=True))"
    )
    for extra in cases:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        environment = clean | {"HOME": str(home)} | extra
        rays = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        ours = find_token(environment)
        assert ours is not None
        assert ours.value == rays.stdout.strip()


def test_no_token_anywhere_is_none_but_a_named_file_must_exist(tmp_path: Path) -> None:
    assert find_token({"HOME": str(tmp_path)}) is None
    with pytest.raises(InputError, match="must be readable"):
        find_token({"HOME": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "gone")})


def test_printing_a_token_shows_where_it_is_from_and_not_what_it_is(tmp_path: Path) -> None:
    token = find_token({"RAY_AUTH_TOKEN": "secretsecret"})
    assert token is not None
    assert "secretsecret" not in f"{token} {token!r}"
    assert "RAY_AUTH_TOKEN" in repr(token)
    assert default_path({"HOME": "/h"}) == Path("/h/.ray/auth_token")


@pytest.mark.parametrize("text", ["", "two words", "line\nbreak", "bell\a"])
def test_a_damaged_token_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "auth_token"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        find_token({"RAY_AUTH_TOKEN_PATH": str(path)})
    assert not text or text not in str(caught.value)
