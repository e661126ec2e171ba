"""What a secret in a URI is, so that none gets into a table, a job, a log or a message."""

import re
from urllib.parse import unquote

from hscl.errors import InputError

__all__ = ["refuse_credentials"]

_SECRET = re.compile(
    r"token|secret|signature|credential|passw|passphrase|pwd|^x-amz-"
    r"|key(?:_?id)?(?![a-z])"
    r"|(?<![a-z])(?:sig|sas)(?![a-z])"
)
"""What the name of a secret parameter contains; the short ones as words, not as in "disaster"."""


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
    # In a sentence it ends with its word: `@john` behind it names nobody's account.
    authority = unquote(" ".join(place.split()[:1]).partition("/")[0])
    port = authority.rpartition("]")[2].partition(":")[2]
    # A secret key may hold a slash: KEY:SEC/RET@bucket.
    if "@" in authority or ("@" in place and port and not port.isdigit()):
        return True
    each = re.split(r"[?#;&]", parameters[0]) if parameters else []
    return any(_is_secret(*one.split("=", maxsplit=1)) for one in each if "=" in one)


def _is_secret(name: str, value: str) -> bool:
    """Of a parameter: by its name, or as its value is a URI that carries credentials."""
    name, value = unquote(name).strip(), unquote(value)
    if re.search(r"\s", name):  # a sentence's `=`
        return False
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    # Of a place without `://`, only KEY:SECRET@… is an account: addresses of e-mail are not.
    inner = value.partition("://")[2] or value
    return bool(_SECRET.search(words)) or (":" in value and _carries_credentials(inner))
