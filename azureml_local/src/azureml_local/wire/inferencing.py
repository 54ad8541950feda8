"""What the service behind the endpoints refuses, in its own words: Resource Manager's front end wraps them.

Seen as users printed them: code BadRequest with a sentence that says nothing, and the reason as JSON in the
message of a nested error.
"""

from __future__ import annotations

import json
from uuid import uuid4

from azureml_local.errors import BadRequest, NotFound, ServiceError
from azureml_local.state.quota import Shortage

_CALL_FAILED = "InferencingClientCallFailed"
_CREATION_FAILED = "InferencingClientCreateDeploymentFailed"
_VALIDATION = "One or more validation errors occurred."


def name_taken() -> ServiceError:
    """An endpoint's name that somebody in the region has (azureml-examples #1930 and #1931)."""
    why = (
        "There is already an endpoint with this name, Endpoint name needs to be unique within a region. Try "
        "some other name."
    )
    # The doubled braces are the service's.
    body = json.dumps({"errors": {"": [why]}, "title": _VALIDATION}, separators=(",", ":"))
    return _invalid(_CALL_FAILED, body.replace("{", "{{").replace("}", "}}"))


def too_many_endpoints(subscription: str, limit: int) -> ServiceError:
    """One more endpoint than a subscription may have (azureml-examples #1635); the status is assumed."""
    # The quotation marks are the service's.
    why = (
        f'"Endpoint Quota reached for subscription {subscription}.Current usage/limit: {limit}/{limit}.'
        'Please clean up existing endpoints and try again"'
    )
    return BadRequest(why, code=_CALL_FAILED)


def name_not_free() -> ServiceError:
    """A name whose endpoint was deleted some time ago (azure-cli-extensions #7660 and #7107)."""
    nested = ServiceError(404, _CALL_FAILED, '{{"title":"Not Found"}}')
    return NotFound("The specified resource was not found.", code="NotFound", details=[nested])


def endpoint_busy(endpoint: str, state: str) -> ServiceError:
    """A deployment while its endpoint is being changed (azure-sdk-for-net #36961)."""
    return BadRequest(
        f"Cannot create a deployment in endpoint {endpoint} because it is in {state} provisioning state."
    )


def no_quota(subscription: str, size: str, shortage: Shortage) -> ServiceError:
    """Machines beyond the quota (mslearn-azure-ml #30, mlops-v2 #124)."""
    return quota_refused(
        f"Not enough quota available for {size} in SubscriptionId {subscription}. "
        f"Current usage/limit: {shortage.used}/{shortage.limit}. Additional needed: {shortage.needed} Please "
        "see troubleshooting guide, available here: https://aka.ms/oe-tsg#error-outofquota"
    )


def quota_refused(why: str) -> ServiceError:
    """Machines beyond the quota, for that reason."""
    document = {
        "errors": {"VmSize": [why]},
        "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        "title": _VALIDATION,
        "status": 400,
        "traceId": f"00-{uuid4().hex}-{uuid4().hex[:16]}-01",
    }
    body = json.dumps(document, separators=(",", ":"))
    return _invalid(_CREATION_FAILED, f"InferencingClient HttpRequest error, error detail: {body}")


def _invalid(code: str, message: str) -> ServiceError:
    return BadRequest("The request is invalid.", details=[ServiceError(400, code, message)])
