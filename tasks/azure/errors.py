"""The SDKs' errors, read: which failure each amounts to, and whether a retry may mend it."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tasks.azure.failure import Cause, Failure
from tasks.azure.known_errors import KNOWN

_TOO_MANY = 429
_CONFLICT = 409
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal: azure-ai-ml writes them into messages
TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# The same and a refused token in words, where azure-ai-ml leaves nothing else of an answer.
_TRANSIENT_WORDS = re.compile(
    r"\((RequestTimeout|TooManyRequests|InternalServerError|BadGateway|ServiceUnavailable|GatewayTimeout)\)"
    r"|Connection (aborted|broken|refused|reset)|timed out"
)
_UNAUTHORISED_WORDS = re.compile(r"\((ExpiredAuthenticationToken|InvalidAuthenticationToken)\)")
# How PyTorch, Python and Kubernetes say it, in the errors of steps.
_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemory|OOMKilled|\bMemoryError\b", re.I)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded", re.I)
# "The client 'x' with object id 'y' does not have authorization to perform action '…' over scope '…' or …"
_DENIED = re.compile(r"perform action '(?P<action>[^']+)'.{0,80}? over scope '(?P<scope>[^']+)'", re.DOTALL)
# "…; however, it does not have permission to perform action(s) '…' on the linked scope(s) '…'": of what a
# resource is to be given, such as an identity.
_LINKED = re.compile(r"action\(s\) '(?P<action>[^']+)' on the linked scope\(s\) '(?P<scope>[^']+)'")
# "The specified subscription has a standardNCADSA100v4Family vCPU quota of 0 and cannot accomodate for at …"
_FAMILY = re.compile(
    r"subscription has an? (?P<family>[\w ]{1,60}?)( family)? vCPU quota of (?P<limit>\d+)", re.IGNORECASE
)
_NOT_THE_JOBS = frozenset({Cause.QUOTA, Cause.CAPACITY, Cause.STORAGE, Cause.PERMISSION})

# What the resolver and the sockets of each platform say, within the words of a credential that failed.
_NO_NETWORK = re.compile(
    r"NameResolutionError|Name or service not known|name resolution|nodename nor servname|getaddrinfo failed"
    r"|Failed to (establish a new connection|resolve)|Network is unreachable|No route to host"
    r"|Could not resolve host|Max retries exceeded",
    re.IGNORECASE,
)


def explain(error: BaseException) -> Failure:
    """The failure that an SDK's error amounts to."""
    if isinstance(error, Failure):
        return error
    error = _unwrapped(error)
    status = _status(error)
    text = _text(error)
    details = text if status is None else f"HTTP {status}: {text}"
    pause = retry_after(error)
    if denied := _LINKED.search(text) or _DENIED.search(text):
        return _may_not(denied["action"], denied["scope"], details)
    if short := _FAMILY.search(text):
        return _too_few(short["family"], short["limit"], details)
    for known in KNOWN:
        # A rate of requests may be called a quota as well, but more cores are of no help there.
        if status != _TOO_MANY and re.search(known.pattern, text, re.IGNORECASE | re.DOTALL):
            return Failure(known.what, known.do, details, known.retryable, pause, cause=known.cause)
    if _is_authentication(error) and not is_unauthorised(error) and _NO_NETWORK.search(text):
        return Failure(
            "Azure's sign-in cannot be reached: there is no network, or a name cannot be resolved.",
            "Check the connection, HTTPS_PROXY and the DNS, and run again.",
            details,
            retryable=True,
            cause=Cause.UNREACHABLE,
        )
    if _is_authentication(error):
        return Failure(
            "Azure did not accept the sign-in.",
            "Run `az login`, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET of a service "
            "principal; AZURE_TOKEN_CREDENTIALS=dev leaves out a managed identity that answers wrongly.",
            details,
            cause=Cause.SIGN_IN,
        )
    if status == 403:
        return _refused(text, details)
    if is_transient(error):
        return Failure(
            f"Azure could not be reached or was busy: {_headline(text)}",
            "Run again; existing resources are reused.",
            details,
            retryable=True,
            retry_after=pause,
            cause=Cause.IN_USE if status == _CONFLICT else Cause.UNREACHABLE,
        )
    return Failure(
        _headline(text), "", details if details != _headline(text) else "", cause=_cause(error, status)
    )


@contextmanager
def explained() -> Iterator[None]:
    """Raise what the block raises as the failure that it amounts to: what is kept of it holds no secret."""
    try:
        yield
    except Exception as error:
        failure = explain(error)
        if failure is error:
            raise
        raise failure from error


def cause_of_job(why: str, log: str = "") -> Cause:
    """The cause of a job's failure, by Azure's words and the end of its log: JOB where they name no other."""
    if _OUT_OF_MEMORY.search(f"{why}\n{log}"):
        return Cause.OUT_OF_MEMORY
    if _DISK_FULL.search(f"{why}\n{log}"):
        return Cause.STORAGE
    found = (known.cause for known in KNOWN if re.search(known.pattern, why, re.IGNORECASE | re.DOTALL))
    return next((cause for cause in found if cause in _NOT_THE_JOBS), Cause.JOB)


def _may_not(action: str, scope: str, details: str) -> Failure:
    """The refusal in Azure's own terms: roles differ between companies, actions do not."""
    return Failure(
        f"The signed-in identity may not perform {action} on {scope}.",
        "Give it a role with that action there; docs/azure.md lists the actions that a run needs.",
        details,
        cause=Cause.PERMISSION,
    )


def _too_few(family: str, limit: str, details: str) -> Failure:
    """A family of sizes of which the subscription may not have one machine: a new one has none with GPUs."""
    return Failure(
        f"The subscription's quota of the family {family} is {limit} vCPUs, too few for one machine.",
        "Ask for more cores of that family in the studio (Quota), or choose a size of another family.",
        details,
        cause=Cause.QUOTA,
    )


def _refused(text: str, details: str) -> Failure:
    """A refusal that does not say what is missing; of MLflow's calls, which give no reason, it is known.

    Documented: the actions of MLflow's operations (how-to-assign-roles).
    """
    what, action = "The signed-in identity may not do this.", "Microsoft.MachineLearningServices/workspaces"
    if "/mlflow/" in text:
        what = "The signed-in identity may not read the workspace's metrics."
        do = f"Give it a role with {action}/experiments/read and {action}/experiments/runs/read there."
    else:
        do = "Give it a role that may, such as AzureML Data Scientist on the workspace."
    return Failure(what, do, details, cause=Cause.PERMISSION)


def _cause(error: BaseException, status: int | None) -> Cause:
    """The cause of an error whose words are not known, by its kind."""
    module = type(error).__module__
    if is_missing(error):
        return Cause.NOT_FOUND
    if status == _CONFLICT:
        return Cause.IN_USE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Cause.STORAGE
    if isinstance(error, MemoryError):
        return Cause.OUT_OF_MEMORY
    if module.startswith("azure.ai.ml"):  # raised before anything is sent: the SDK checks what it is given
        return Cause.CONFIGURATION
    return Cause.PREFECT if module.startswith("prefect.") else Cause.OTHER


def _unwrapped(error: BaseException) -> BaseException:
    """The lost connection below an error of azure-ai-ml, which takes one for a fault of the job's input."""
    below: BaseException | None = error
    while below is not None and type(below).__module__.startswith("azure.ai.ml"):
        below = below.__cause__ or below.__context__
    return below if below is not None and is_transient(below) else error


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later: never for bad input, missing rights or quota."""
    if isinstance(error, Failure):
        return error.retryable
    status = _status(error)
    if status == _CONFLICT:
        return bool(
            re.search(r"in ?progress|another operation|conflicting operation|retry", _text(error), re.I)
        )
    if status is not None:
        return status in TRANSIENT_STATUSES
    if _TRANSIENT_WORDS.search(_swallowed(error)):
        return True
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__name__ in {
        "ServiceRequestError",  # azure-core: not sent
        "ServiceResponseError",  # azure-core: no answer came
        "ServiceRequestTimeoutError",
        "ServiceResponseTimeoutError",
        "IncompleteReadError",
        "HttpResponseError",  # without a status: an answer cut off in the middle
        "DecodeError",  # azure-core: a body that is no JSON
        "ConnectionError",  # requests
        "ConnectTimeout",
        "ReadTimeout",
        "ChunkedEncodingError",
        "SSLError",
    }


def retry_after(error: BaseException) -> float | None:
    """The seconds that the service's answer asks to wait before the next request; None where it does not."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = headers.get("Retry-After")
    if not value:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        return _until(value)


def is_unauthorised(error: BaseException) -> bool:
    """Whether the service refused the token, as one that expired on the way, or a failure is due to that."""
    if isinstance(error, Failure):
        return error.__cause__ is not None and is_unauthorised(error.__cause__)
    return _status(error) == 401 or bool(_UNAUTHORISED_WORDS.search(_swallowed(error)))


def is_missing(error: BaseException) -> bool:
    """Whether the service said that the thing asked for does not exist."""
    return _status(error) == 404 or "RESOURCE_NOT_FOUND" in str(getattr(error, "error_type", "")).upper()


def unless_missing(get: Callable[[], Any]) -> Any:
    """What the service has; None where it says that there is no such thing."""
    try:
        return get()
    except Exception as error:
        if is_missing(error):
            return None
        raise


def _until(date: str) -> float | None:
    """Seconds from now until an HTTP date."""
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None and hasattr(error, "get_http_status_code"):  # mlflow
        status = error.get_http_status_code()
    return status if isinstance(status, int) else None


def _text(error: BaseException) -> str:
    """The service's message and those nested below it, each with its code before it."""
    service: Any = getattr(error, "error", None)
    if service is not None and getattr(service, "message", None):
        parts = [f"{service.code}: {service.message}" if getattr(service, "code", None) else service.message]
        parts += [
            f"{detail.code}: {detail.message}" if detail.code else detail.message
            for detail in getattr(service, "details", None) or ()
            if detail.message
        ]
        return "\n".join(dict.fromkeys(parts))
    if swallowed := _swallowed(error):
        return swallowed
    return _COLOUR.sub("", str(getattr(error, "message", None) or error)).strip() or type(error).__name__


def _swallowed(error: BaseException) -> str:
    """What azure-ai-ml met while it checked a job, a line each: it tells all of it as faults of the job."""
    if not type(error).__module__.startswith("azure.ai.ml"):
        return ""
    try:
        faults = json.loads(str(error))["errors"]
        return "\n".join(f"{fault['path']}: {fault['message']}" for fault in faults)
    except (ValueError, KeyError, TypeError):
        return ""


def _is_authentication(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return is_unauthorised(error) or bool(names & {"ClientAuthenticationError", "CredentialUnavailableError"})


def _headline(text: str) -> str:
    """The first line, short enough for a list of runs."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "Unknown error")
    return line if len(line) <= 300 else line[:299] + "…"
