"""Where a cluster reads data and writes results: URIs that every node opens, without secrets."""

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from hscl.errors import InputError, did_you_mean
from hscl.uris import refuse_credentials

__all__ = ["Location", "checked_location", "copy_text"]

_SCHEMES = {"file", "gs", "gcs", "s3"}


@dataclass(frozen=True)
class Location:
    """A place as every node of the cluster names it.

    Attributes:
        uri: The absolute path or URI, without a trailing slash.
        scheme: `"file"` for a path, else the URI's scheme.
    """

    uri: str
    scheme: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a path of the nodes, which this machine need not see."""
        return self.scheme == "file"

    @property
    def path(self) -> str:
        """The path on the nodes, of a folder."""
        return urlsplit(self.uri).path if "://" in self.uri else self.uri


def checked_location(option: str, text: str) -> Location:
    """Check a path or URI as an option gives it; nothing is opened.

    Args:
        option: The option's name, for messages.
        text: What the user wrote.

    Returns:
        The place, normalised, so that one place has one name.

    Raises:
        InputError: It carries credentials (never repeated in the message), its scheme is none of
            pyarrow's, it has a fragment, or it is a relative path, which means another folder on
            every node.
    """
    refuse_credentials(text, option)
    scheme, mark, rest = text.partition("://")
    if not mark:
        return Location(_absolute(option, text), "file")
    if scheme not in _SCHEMES:
        message = f"{option} must be a path or one of {', '.join(sorted(_SCHEMES))} URIs, but got "
        raise InputError(message + f"scheme {scheme!r}; {did_you_mean(scheme, _SCHEMES)}")
    if "#" in rest:  # pyarrow would open what stands before it
        raise InputError(f"{option} must be a URI whose path holds no '#', but got {text!r}")
    if scheme == "file":
        _, slash, path = rest.partition("/")
        return Location(_absolute(option, slash + path), "file")
    if not rest.split("?")[0].strip("/"):
        message = f"{option} must name a bucket and a key, such as {scheme}://bucket/run, but got "
        raise InputError(message + repr(text))
    head, question, query = text.partition("?")
    return Location(head.rstrip("/") + question + query, scheme)


def copy_text(where: Location, head: str, folder: str) -> str:
    """The commands that copy a folder of the cluster to this machine.

    Args:
        where: A folder that only the cluster sees.
        head: The head's address as far as it is known.
        folder: Where the copy shall be.

    Returns:
        A line for machines that ssh reaches, and one for Kubernetes.
    """
    path, target = shlex.quote(where.path), shlex.quote(folder)
    return (
        f"    rsync -a {head}:{path}/ {target}/\n"
        f"    kubectl cp HEAD_POD:{path} {target}     # on Kubernetes; kubectl get pods names it"
    )


def _absolute(option: str, text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts:
        message = (
            f"{option} must be an absolute path on the nodes, or a URI such as s3://bucket/run, "
            f"but got {text!r}; a relative path would be another folder on every node"
        )
        raise InputError(message)
    return str(path)
