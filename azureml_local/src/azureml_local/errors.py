"""The service's errors as values: an HTTP status, the service's code, and a message that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class ServiceError(Exception):
    """An error of the service; wire/error_answer.py says how each part of Azure shows it.

    `details` are errors nested below this one, `inner` the codes of the innerError chain, outermost first.
    One that is `by_gateway` is Resource Manager's own, which never asked the service behind it.
    """

    by_gateway: ClassVar[bool] = False

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: Sequence[ServiceError] = (),
        inner: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = tuple(details)
        self.inner = tuple(inner)

    def document(self) -> dict[str, Any]:
        """Code, message and what is nested, as the front end has them."""
        details = [detail.document() for detail in self.details]
        return {"code": self.code, "message": self.message, "details": details, "additionalInfo": []}

    def inner_error(self) -> dict[str, Any] | None:
        """The chain of inner codes, None when there is none."""
        nested: dict[str, Any] | None = None
        for code in reversed(self.inner):
            nested = {"code": code, "innerError": nested}
        return nested

    def outcome(self) -> dict[str, Any]:
        """The error as it stands at the end of a long operation.

        The code is empty and heads the message: users print "(None) ResourceNotReady: User container has
        crashed or terminated: …" (Azure/mlops-v2 #120). The body around it was not recorded.
        """
        return self.document() | {"code": None, "message": f"{self.code}: {self.message}"}


class _Preset(ServiceError):
    """A service error whose status and usual code belong to its class."""

    status_code: ClassVar[int]
    usual_code: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        target: str | None = None,
        details: Sequence[ServiceError] = (),
        inner: Sequence[str] = (),
    ) -> None:
        super().__init__(
            self.status_code, code or self.usual_code, message, target=target, details=details, inner=inner
        )


class BadRequest(_Preset):
    """The request says something that cannot be."""

    status_code, usual_code = 400, "BadRequest"


class QuotaExceeded(_Preset):
    """The request needs more of something than the subscription's limit leaves."""

    status_code, usual_code = 400, "QuotaExceeded"


class Unauthorized(_Preset):
    """The caller did not show who it is."""

    by_gateway = True
    status_code, usual_code = 401, "InvalidAuthenticationToken"


class Forbidden(_Preset):
    """The caller may not do that."""

    by_gateway = True
    status_code, usual_code = 403, "AuthorizationFailed"


class NotFound(_Preset):
    """What the request names does not exist."""

    status_code, usual_code = 404, "ResourceNotFound"


class UnknownScope(NotFound):
    """There is no such subscription, group, workspace or route, which Resource Manager says itself."""

    by_gateway = True


class MethodNotAllowed(_Preset):
    """The path exists, and not with that method."""

    by_gateway = True
    status_code, usual_code = 405, "MethodNotAllowed"


class Conflict(_Preset):
    """The request contradicts the state of the resource."""

    status_code, usual_code = 409, "Conflict"


class LengthRequired(_Preset):
    """The body's length is not in the headers."""

    status_code, usual_code = 411, "MissingContentLengthHeader"


class PreconditionFailed(_Preset):
    """A condition of the request's headers does not hold."""

    status_code, usual_code = 412, "PreconditionFailed"


class TooLarge(_Preset):
    """The body is larger than allowed."""

    status_code, usual_code = 413, "RequestEntityTooLarge"


class Throttled(_Preset):
    """The subscription has asked for more than it may within a minute."""

    by_gateway = True
    status_code, usual_code = 429, "ResourceRequestsThrottled"


class StorageFull(_Preset):
    """The disk under the state directory has no room left, or does not let itself be written."""

    status_code, usual_code = 507, "InsufficientStorage"
