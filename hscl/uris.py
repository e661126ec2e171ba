"""What a secret in a URI is, so that none gets into a table, a job, a log or a message."""

import re
from urllib.parse import unquote

from hscl.errors import InputError

__all__ = ["refuse_credentials"]

_SECRETS = (
    "key",
    "token",
    "secret",
    "signature",
    "sig",
    "credential",
    "passw",
    "pwd",
    "passphrase",
    "x-amz-",
    "sas",
)
"""What the name of a secret parameter contains."""


def refuse_credentials(text: str, what: str = "a URI") -> None:
    """Return if a text is no URI, or one without credentials.

    Args:
        text: What the user wrote; an option's name and `=` may stand before it.
        what: What was given, for the message.

    Raises:
        InputError: It carries credentials, which the message doesn't repeat.
    """
    _, mark, rest = text.partition("://")
    if mark and _carries_credentials(rest):
        raise InputError(
            f"{what} must not carry credentials (they would stand in tables, jobs and logs), but "
            "this one does; it is not repeated here. Leave them to the environment of every node, "
            "such as AWS_ACCESS_KEY_ID, or to an instance role"
        )


def _carries_credentials(rest: str) -> bool:
    """Of what follows `://`; urlsplit would refuse half of what people mistype."""
    place, *parameters = re.split(r"[?#;]", rest, maxsplit=1)
    authority = unquote(place.partition("/")[0])
    port = authority.rpartition("]")[2].partition(":")[2]
    # A secret key may hold a slash: KEY:SEC/RET@bucket.
    if "@" in authority or ("@" in place and port and not port.isdigit()):
        return True
    each = re.split(r"[?#;&]", parameters[0]) if parameters else []
    names = [unquote(one.partition("=")[0]).lower() for one in each]
    return any(mark in name for name in names for mark in _SECRETS)
