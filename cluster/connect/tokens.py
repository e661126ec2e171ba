"""Ray's token authentication: one secret for a whole cluster, in a file that only its owner reads.

Ray itself writes `~/.ray/auth_token` with the umask of the moment (0644 on most machines) and does
not complain about it later. Here the file is made with mode 0600 and tightened when it is wider.
The token's text never becomes part of a message: `Token` hides it when printed.
"""

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hscl.errors import InputError

__all__ = ["Token", "create_token", "default_path", "find_token", "tighten"]

_MODE, _VALUE, _PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


@dataclass(frozen=True)
class Token:
    """A cluster's secret.

    Attributes:
        value: The secret itself; left out of the representation.
        source: Where it was found, for messages.
    """

    value: str = field(repr=False)
    source: str

    @property
    def header(self) -> dict[str, str]:
        """The HTTP header that proves it."""
        return {"Authorization": f"Bearer {self.value}"}


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The file in which Ray looks for the token: `RAY_AUTH_TOKEN_PATH` or `~/.ray/auth_token`."""
    named = environment.get(_PATH)
    home = environment.get("HOME")
    return Path(named) if named else (Path(home) if home else Path.home()) / ".ray" / "auth_token"


def find_token(environment: Mapping[str, str] = os.environ) -> Token | None:
    """The token as Ray finds it: `RAY_AUTH_TOKEN`, then `RAY_AUTH_TOKEN_PATH`, then the home file.

    A file of ours that others can read is tightened on the way.

    Args:
        environment: The process's environment.

    Returns:
        The token, or None where there is none.

    Raises:
        InputError: `RAY_AUTH_TOKEN_PATH` names a file that cannot be read, or the token is empty.
    """
    value = environment.get(_VALUE)
    if value:
        return _checked(value, _VALUE)
    path = default_path(environment)
    if not path.is_file() and _PATH not in environment:
        return None
    try:
        tighten(path)
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not plain text"
        message = (
            f"the token file {path} must be readable, but: {reason}; make one with "
            "`hscl cluster token`, or copy the cluster's"
        )
        raise InputError(message) from None
    return _checked(text, str(path))


def create_token(path: Path) -> bool:
    """Make a token file with mode 0600 in a folder with mode 0700, whatever the umask.

    Args:
        path: Where; a token that is there already is kept, and its mode is tightened.

    Returns:
        Whether a new token was made.

    Raises:
        InputError: The file cannot be made, or something else is there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            if not path.is_file():
                message = (
                    f"a token must be a file of its own, but {path} is a folder or a device; name "
                    f"the file itself, such as {path / 'auth_token'}"
                )
                raise InputError(message)
            tighten(path)
            return False
        # Under its own name only once it is whole: a node that starts now reads all or nothing.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        part = Path(name)
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, secrets.token_hex(32).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(part, path)  # unlike a rename it never replaces another process's token
        except FileExistsError:
            return False
        finally:
            part.unlink()
    except OSError as error:
        message = f"a token file must be writable at {path}, but: {error.strerror}"
        raise InputError(message) from None
    return True


def tighten(path: Path) -> bool:
    """Take a token file of ours away from everybody else.

    A file of another owner, such as a secret that Kubernetes mounts, is left as it is, and so is
    what is no regular file.

    Args:
        path: An existing file.

    Returns:
        Whether its mode had to be changed.
    """
    state = path.stat()
    ours = stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid()
    if not ours or not stat.S_IMODE(state.st_mode) & 0o077:
        return False
    path.chmod(0o600)
    return True


def _checked(text: str, source: str) -> Token:
    value = text.strip()
    if not value or not value.isprintable() or " " in value:
        message = (
            f"the token from {source} must be one word of plain characters, but it is "
            f"{'empty' if not value else 'not (its text is not repeated here)'}; copy the file "
            "from the cluster's head again"
        )
        raise InputError(message)
    return Token(value, source)
