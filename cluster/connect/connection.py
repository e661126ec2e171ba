"""A checked connection to a cluster's job interface: reachable, authenticated, same Ray."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, RemoteDisconnected
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from cluster.connect.tokens import Token, find_token
from hscl.errors import InputError, RunError

__all__ = [
    "DEFAULT_ADDRESS",
    "Connection",
    "RefusalError",
    "asked",
    "command_text",
    "connect",
    "job_address",
]

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
_TIMEOUT_S = 15.0
_HINT = "copy the head's ~/.ray/auth_token to this machine (mode 0600), or set RAY_AUTH_TOKEN"

T = TypeVar("T")

for _name in (  # else they announce each upload and each end of a stream on standard error
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
):
    logging.getLogger(_name).setLevel(logging.WARNING)


class RefusalError(RunError):
    """The job interface answered with an error of its own.

    Attributes:
        status: The HTTP status, 0 where it is unknown.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Connection:
    """A cluster that answered and accepted us.

    Attributes:
        address: Its job interface, `http://HOST:PORT`.
        client: Ray's job client.
        authenticated: Whether the cluster asks for a token.
        ray_version: The version that runs there.
    """

    address: str
    client: JobSubmissionClient
    authenticated: bool
    ray_version: str

    @property
    def host(self) -> str:
        """The host in the address; `HEAD` where it is a tunnel's end on this machine."""
        name = urlsplit(self.address).hostname or ""
        return "HEAD" if name in {"localhost", "127.0.0.1", "::1"} else name

    @property
    def warning(self) -> str | None:
        """What must be said loudly about this cluster, if anything."""
        if self.authenticated:
            return None
        return (
            f"WARNING: the cluster at {self.address} asks for no token: everybody who reaches it "
            "can run any code on it and read its data. Start it with RAY_AUTH_MODE=token and a "
            "token file (`hscl cluster token`), as the templates of `hscl cluster template` do."
        )


def command_text(connection: Connection, command: str) -> str:
    """A command for the same cluster, to be copied, such as `hscl cluster stop ID --address …`."""
    return f"hscl cluster {command} --address {connection.address}"


def job_address(text: str) -> str:
    """Bring the address of a job interface into its one form.

    Args:
        text: `http://HOST:PORT`, `https://…`, or `HOST:PORT`.

    Returns:
        `http://HOST:PORT` or `https://HOST[:PORT]`.

    Raises:
        InputError: It is another kind of address, or carries credentials.
    """
    wanted = "--address must be the cluster's dashboard, such as http://HEAD:8265"
    address = text if "://" in text else f"http://{text}"
    if "@" in address.split("/")[2]:
        message = f"{wanted}, without a user name or password in it; Ray's token comes from a file"
        raise InputError(message)
    try:
        parts = urlsplit(address)
    except ValueError:  # half an IPv6 address
        raise InputError(f"{wanted}, but got {text!r}") from None
    if parts.scheme == "ray":
        host = parts.hostname or "HEAD"
        message = (
            f"{wanted}, but got {text!r}: Ray Client (ray://) would move the driver into the "
            f"cluster and away from its tables; use --address http://{host}:8265"
        )
        raise InputError(message)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise InputError(f"{wanted}, but got {text!r}")
    if port is None and parts.scheme == "http":
        raise InputError(f"{wanted}, with its port, but got {text!r}")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def connect(text: str, environment: Mapping[str, str] = os.environ) -> Connection:
    """Reach a cluster, prove the token, and compare versions, before anything is sent.

    Args:
        text: The address as in `job_address`.
        environment: Where to look for the token.

    Returns:
        The connection.

    Raises:
        InputError: The head does not answer, the token is missing or wrong, or another version of
            Ray runs there.
    """
    address = job_address(text)
    status, version = _version(address, {})
    token: Token | None = None
    if status == 401:
        token = find_token(environment)
        if token is None:
            message = (
                f"the cluster at {address} asks for its token, but this machine has none; {_HINT}"
            )
            raise InputError(message)
        status, version = _version(address, token.header)
        if status in {401, 403}:
            message = (
                f"the cluster at {address} must be given its own token, but refused the one from "
                f"{token.source}; {_HINT}"
            )
            raise InputError(message)
    if status != 200 or version is None:
        message = (
            f"{address} must be a Ray dashboard, but GET /api/version answered with status "
            f"{status}; give the head's dashboard port (8265 unless changed)"
        )
        raise InputError(message)
    if version != ray.__version__:
        message = (
            f"this machine and the cluster must run the same Ray, but here is {ray.__version__} "
            f"and the cluster at {address} has {version}; run: "
            f"pip install 'ray[default,tune]=={version}'"
        )
        raise InputError(message)
    return Connection(address, _client(address, token), token is not None, version)


def asked(call: Callable[..., T], *args: Any, **named: Any) -> T:
    """Call Ray's job client, with its errors turned into ours.

    Args:
        call: A bound method of the client.
        *args: Its arguments.
        **named: Its named arguments.

    Returns:
        What the client returns.

    Raises:
        RunError: The cluster does not answer any more.
        InputError: It no longer accepts the token.
        RefusalError: It answered with an error.
    """
    try:
        return call(*args, **named)
    except AuthenticationError:
        message = f"the cluster must accept the token, but no longer does; {_HINT}"
        raise InputError(message) from None
    except (requests.exceptions.RequestException, ConnectionError) as error:
        message = (
            f"the cluster must stay reachable, but: {_reason(error)}; a running search goes on "
            "without this machine: try again when the head or the tunnel is back"
        )
        raise RunError(message) from None
    except RuntimeError as error:
        raise RefusalError(_short(str(error)), _status_in(str(error))) from None


def _client(address: str, token: Token | None) -> JobSubmissionClient:
    # Ray prefers these two variables to the address that it is given.
    hidden = {n: os.environ.pop(n, None) for n in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
    # An explicit header keeps Ray from adding the token of its own accord, which would hand it
    # to a cluster that never asked for one.
    headers = token.header if token is not None else {"Authorization": "none"}
    try:
        return asked(JobSubmissionClient, address, headers=headers)
    finally:
        os.environ.update({name: value for name, value in hidden.items() if value is not None})


def _version(address: str, headers: dict[str, str]) -> tuple[int, str | None]:
    """HTTP status and Ray version of a dashboard.

    Raises:
        InputError: It does not answer.
    """
    try:
        answer = requests.get(
            f"{address}/api/version", headers=headers, timeout=_TIMEOUT_S, allow_redirects=False
        )
    except requests.exceptions.RequestException as error:
        port = urlsplit(address).port or 443
        if _speaks_otherwise(error):
            message = (
                f"{address} is not the dashboard: something answers there, but not as a web "
                "server, such as Ray's other ports (6379, 10001); the dashboard is usually "
                f"at port 8265: --address http://{urlsplit(address).hostname}:8265"
            )
            raise InputError(message) from None
        message = (
            f"the head must answer at {address}, but: {_reason(error)}; is the cluster up, and "
            f"the tunnel open? Dashboards listen on loopback: ssh -N -L {port}:127.0.0.1:8265 "
            f"HEAD, or kubectl port-forward, then --address http://127.0.0.1:{port}"
        )
        raise InputError(message) from None
    try:
        version = answer.json().get("ray_version")
    except (ValueError, AttributeError):
        version = None
    return answer.status_code, version


def _speaks_otherwise(error: BaseException) -> bool:
    """Whether what answered is no HTTP; an end without a word is a tunnel's that leads nowhere."""
    inner = _innermost(error)
    return isinstance(inner, HTTPException) and not isinstance(inner, RemoteDisconnected)


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


def _reason(error: BaseException) -> str:
    """The innermost cause of a network error, in a few words."""
    inner = _innermost(error)
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return str(text).splitlines()[0][:200].lower()


def _status_in(text: str) -> int:
    """The HTTP status that Ray's client wrote into its message."""
    words = text.partition("status code ")[2].split(":")[0]
    return int(words) if words.isdigit() else 0


def _short(text: str) -> str:
    """A server's message without the traceback of the server's own code."""
    lines = [line.strip() for line in text.splitlines() if any(c.isalnum() for c in line)]
    if "Traceback" not in text or not lines:
        return text.strip()
    return f"{lines[0].partition('Traceback')[0]}{lines[-1]}"
