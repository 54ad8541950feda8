"""Errors of the SDKs as lines that a person can act on."""

from __future__ import annotations

import errno
import json
import pickle
from typing import Any

import pytest
import requests
from azure.ai.ml.exceptions import MlException, ValidationException
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from prefect.exceptions import ObjectNotFound

from tasks.azure.errors import cause_of_job, explain, is_missing, is_transient, is_unauthorised
from tasks.azure.failure import Cause, Failure
from tests.support.checkout import ROOT


def http(status: int, message: str = "no more is known") -> HttpResponseError:
    error = HttpResponseError(message)
    error.status_code = status
    return error


def checked(fault: str) -> MlException:
    """What azure-ai-ml makes of an error that it meets while it checks the job's computes."""
    found = {"result": "Failed", "errors": [{"message": fault, "path": "jobs.n.compute", "value": "c"}]}
    return MlException(json.dumps(found, indent=2), "")


@pytest.mark.parametrize(
    "fault",
    [
        "(InternalServerError) An internal error occurred.\nCode: InternalServerError",
        "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
        "('Connection broken: IncompleteRead(631 bytes read, 632 more expected)', IncompleteRead(631 bytes))",
    ],
)
def test_an_outage_while_a_job_is_checked_is_no_fault_of_the_job(fault: str) -> None:
    assert is_transient(checked(fault))
    assert explain(checked(fault)).retryable


def test_a_token_refused_while_a_job_is_checked_is_renewed() -> None:
    error = checked("(ExpiredAuthenticationToken) The access token expiry UTC time has passed.")
    assert is_unauthorised(error)
    assert explain(error).cause is Cause.SIGN_IN


def test_a_fault_of_a_job_is_reported_in_a_line() -> None:
    error = checked("Not found compute with name c")
    assert not is_transient(error)
    assert not is_unauthorised(error)
    assert str(explain(error)) == "jobs.n.compute: Not found compute with name c"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_service_is_asked_again(status: int) -> None:
    assert is_transient(http(status))
    assert explain(http(status)).retryable


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_what_will_fail_again_is_not(status: int) -> None:
    assert not is_transient(http(status))
    assert not explain(http(status)).retryable


def test_a_conflict_with_an_operation_under_way_is_asked_again() -> None:
    assert is_transient(http(409, "Another operation is in progress on the resource"))


@pytest.mark.parametrize(
    "error",
    [
        ServiceRequestError("reset"),
        ServiceResponseError("reset"),
        requests.ConnectionError("reset"),
        requests.ReadTimeout("slow"),
        TimeoutError("slow"),
    ],
)
def test_lost_connections_are_asked_again(error: Exception) -> None:
    assert is_transient(error)


def test_a_connection_lost_while_a_file_was_uploaded_is_no_fault_of_the_input() -> None:
    error, below = MlException("It is wrong.", ""), ValidationException("Met it.", "Met it.")
    error.__context__, below.__cause__ = below, ServiceResponseError("reset")
    failure = explain(error)
    assert failure.retryable
    assert failure.cause is Cause.UNREACHABLE


def test_a_failure_that_a_refused_token_is_the_cause_of_is_known_as_such() -> None:
    failure = Failure("The deployment failed.", cause=Cause.DEPLOYMENT)
    assert not is_unauthorised(failure)
    failure.__cause__ = http(401)
    assert is_unauthorised(failure)
    failure.__cause__ = http(403)
    assert not is_unauthorised(failure)


def test_what_is_really_wrong_with_the_input_is_reported_without_a_terminals_colours() -> None:
    error = MlException("\x1b[37m\n\x1b[31mThere is no file.\x1b[39m", "")
    error.__context__ = ValidationException("Met it.", "Met it.")
    assert (str(explain(error)), explain(error).retryable) == ("There is no file.", False)


@pytest.mark.parametrize(
    ("message", "cause", "do"),
    [
        ('Unknown cloud environment supplied: "AzureLocal1".', Cause.CONFIGURATION, "ARM_CLOUD_METADATA_URL"),
        ("JobNodeCountExceedsCoreQuota: 24 > 6", Cause.QUOTA, "more cores"),
        ("Not enough quota available for Standard_NC6s_v3", Cause.QUOTA, "smaller size"),
        ("The specified subscription has a Standard NCADSA100v4 vCPU quota of 0", Cause.QUOTA, "more cores"),
        ("OutOfCapacity: no machines", Cause.CAPACITY, "another size"),
        (
            "OutOfQuota: The specified VM size failed to provision due to a lack of Azure Machine Learning "
            "capacity. Retry later or try deploying to a different region.",
            Cause.CAPACITY,
            "another size",
        ),
        ("The endpoint name chat is already in use in this region", Cause.NAME_TAKEN, "deploy.endpoint"),
        ("There is already an endpoint with this name.", Cause.NAME_TAKEN, "deploy.endpoint"),
        ("ResourceNotReady: User container has crashed", Cause.DEPLOYMENT, "log below"),
        ("KeyBasedAuthenticationNotPermitted", Cause.STORAGE, "identity-based"),
        ("NoMatchingArtifactsFoundFromJob: job x", Cause.MODEL, "--fresh"),
        ("The asset was deleted earlier and cannot be recreated", Cause.NAME_TAKEN, "registration.name"),
        ("(UserError) Asset paths cannot be updated.", Cause.IN_USE, "tried again"),
        ("BlobAlreadyExists", Cause.IN_USE, "tried again"),
        ("MissingSubscriptionRegistration", Cause.CONFIGURATION, "az provider register"),
        (
            "User/tenant/subscription is not allowed to access registry contoso",
            Cause.PERMISSION,
            "AzureML Registry User",
        ),
        ("AuthorizationFailed", Cause.PERMISSION, "AzureML Data Scientist"),
    ],
)
def test_known_failures_have_a_cause_and_say_what_to_do(message: str, cause: Cause, do: str) -> None:
    failure = explain(http(400, message))
    assert failure.cause is cause
    assert do in failure.do
    assert message in failure.details
    assert "\n" not in str(failure)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (http(401), Cause.SIGN_IN),
        (ClientAuthenticationError("no credential of the chain worked"), Cause.SIGN_IN),
        (http(403), Cause.PERMISSION),
        (http(404), Cause.NOT_FOUND),
        (http(409), Cause.IN_USE),
        (http(409, "Another operation is in progress on the resource"), Cause.IN_USE),
        (http(429, "Quota exceeded: too many requests"), Cause.UNREACHABLE),
        (http(503), Cause.UNREACHABLE),
        (requests.ReadTimeout("read timed out"), Cause.UNREACHABLE),
        (checked("HTTPSConnectionPool: connection timed out"), Cause.UNREACHABLE),
        (checked("Not found compute with name c"), Cause.CONFIGURATION),
        (OSError(errno.ENOSPC, "No space left on device"), Cause.STORAGE),
        (MemoryError(), Cause.OUT_OF_MEMORY),
        (ObjectNotFound(http_exc=RuntimeError()), Cause.PREFECT),
        (http(400), Cause.OTHER),
        (KeyError("dataset"), Cause.OTHER),
    ],
    ids=repr,
)
def test_an_error_whose_words_are_not_known_has_the_cause_of_its_kind(error: Exception, cause: Cause) -> None:
    assert explain(error).cause is cause


@pytest.mark.parametrize(
    ("why", "log", "cause"),
    [
        ("KeyError: dataset", "reading the quota of the test split", Cause.JOB),
        ("", "", Cause.JOB),
        ("The endpoint name is already in use: readiness of a container that crashed", "", Cause.JOB),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "", Cause.OUT_OF_MEMORY),
        ("exited with status code 1", "RuntimeError: CUDA error: out of memory", Cause.OUT_OF_MEMORY),
        ("exited with status code 1", "OSError: [Errno 28] No space left on device", Cause.STORAGE),
        ("JobNodeCountExceedsCoreQuota: 24 > 6", "", Cause.QUOTA),
        ("AllocationFailed", "", Cause.CAPACITY),
        ("KeyBasedAuthenticationNotPermitted", "", Cause.STORAGE),
    ],
)
def test_a_failed_job_is_the_jobs_unless_azure_or_the_machine_says_otherwise(
    why: str, log: str, cause: Cause
) -> None:
    assert cause_of_job(why, log) is cause


def test_an_upload_that_another_job_makes_as_well_is_tried_again() -> None:
    assert explain(http(409, "Blob already exists")).retryable


def test_a_refused_sign_in_says_how_to_sign_in() -> None:
    failure = explain(ClientAuthenticationError("no credential of the chain worked"))
    assert "az login" in failure.do
    assert "AZURE_CLIENT_ID" in failure.do


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0), ("soon", None), ("", None)],
)
def test_the_pause_that_the_service_asks_for_is_read(value: str, seconds: float | None) -> None:
    response = _response(429)
    response.headers["Retry-After"] = value
    failure = explain(requests.HTTPError(response=response))
    assert failure.retryable
    assert failure.retry_after == seconds


def test_a_rate_of_requests_is_no_quota_of_cores() -> None:
    assert explain(http(429, "Quota exceeded: too many requests")).retryable
    assert not explain(http(400, "Quota exceeded: too few cores")).retryable


def test_missing_is_told_by_the_status() -> None:
    assert is_missing(ResourceNotFoundError(response=_response(404)))
    assert not is_missing(http(500))


@pytest.mark.parametrize(
    "secret",
    [
        "https://x/y?sv=1&sig=aB%2Bc3",
        "Authorization: Bearer ey.ab-c_d.ef",
        '"primaryKey": "k3y"',
        "client_secret=s3cr3t",
    ],
)
def test_no_failure_tells_a_secret(secret: str) -> None:
    failure = Failure(secret, secret, secret, cause=Cause.OTHER)
    for part in ("aB%2Bc3", "ey.ab-c_d.ef", "k3y", "s3cr3t"):
        assert part not in f"{failure} {failure.details} {failure!r}"
        assert part.encode() not in pickle.dumps(failure)


def test_a_failure_survives_pickling() -> None:
    failure = Failure("It broke.", "Mend it.", "details", True, 3, cause=Cause.QUOTA)
    failure.add_note("seen twice")
    again = pickle.loads(pickle.dumps(failure))
    assert type(again) is Failure
    assert vars(again) == vars(failure)
    assert (str(again), again.args) == ("It broke. Mend it.", failure.args)


def test_a_failure_with_more_details_is_otherwise_the_same() -> None:
    failure = Failure("It broke.", "Mend it.", "HTTP 429", True, 3, cause=Cause.CAPACITY)
    more = failure.with_details("Log of demo")
    assert more.details == "HTTP 429\n\nLog of demo"
    assert vars(more) == vars(failure) | {"details": more.details}
    assert failure.with_details("").details == "HTTP 429"


def test_a_cause_of_a_later_version_is_an_unknown_one() -> None:
    assert Cause("moon phase") is Cause.OTHER


def test_every_cause_is_set_somewhere() -> None:
    text = "".join(path.read_text() for part in ("tasks", "flows") for path in (ROOT / part).rglob("*.py"))
    assert [cause.name for cause in Cause if f"Cause.{cause.name}" not in text] == []


def _response(status: int) -> Any:
    response = requests.Response()
    response.status_code = status
    return response


@pytest.mark.parametrize(
    ("status", "message", "cause", "retryable"),
    [
        # azureml-examples #1930: Azure's words for a name that is taken, under BadRequest.
        (
            400,
            "(InferencingClientCallFailed) There is already an endpoint with this name, Endpoint name needs "
            "to be unique within a region. Try some other name.",
            Cause.NAME_TAKEN,
            False,
        ),
        # azure-cli-extensions #7660: a PUT of a name that was deleted a moment ago.
        (404, "(NotFound) InferencingClientCallFailed: not found", Cause.NAME_TAKEN, True),
        # azure-sdk-for-net #36961
        (
            400,
            "Cannot create a deployment in endpoint x because it is in Updating provisioning state.",
            Cause.IN_USE,
            True,
        ),
        # How to troubleshoot online endpoints: OperationCanceled, OutOfQuota.
        (
            409,
            "OperationCanceled: waiting for lock confirmation from a previous operation",
            Cause.IN_USE,
            True,
        ),
        (
            400,
            "OutOfQuota: The specified VM size failed to provision due to a lack of Azure Machine Learning "
            "capacity. Retry later or try deploying to a different region.",
            Cause.CAPACITY,
            True,
        ),
        (
            400,
            "The specified subscription has a standardNCADSA100v4Family vCPU quota of 0 and cannot "
            "accomodate for at least 1 requested managed compute node which maps to 24 vCPUs",
            Cause.QUOTA,
            False,
        ),
    ],
)
def test_azures_own_words_are_recognised(status: int, message: str, cause: Cause, retryable: bool) -> None:
    failure = explain(http(status, message))
    assert (failure.cause, failure.retryable) == (cause, retryable)


def test_a_family_without_quota_is_named() -> None:
    failure = explain(
        http(400, "The specified subscription has a Standard NCADSA100v4 family vCPU quota of 0")
    )
    assert "family Standard NCADSA100v4 is 0 vCPUs" in failure.what


def test_a_refusal_names_the_action_and_the_scope() -> None:
    error = http(
        403,
        "(AuthorizationFailed) The client 'x' with object id 'y' does not have authorization to perform "
        "action 'Microsoft.MachineLearningServices/locations/vmSizes/read' over scope '/subscriptions/0' or "
        "the scope is invalid.",
    )
    failure = explain(error)
    assert failure.cause is Cause.PERMISSION
    assert "Microsoft.MachineLearningServices/locations/vmSizes/read on /subscriptions/0" in str(failure)


@pytest.mark.parametrize(
    ("said", "cause", "line"),
    [
        ("AADSTS7000222: The client secret keys for app 'x' are expired.", Cause.SIGN_IN, "has expired"),
        ("AADSTS700082: The refresh token has expired due to inactivity.", Cause.SIGN_IN, "az login"),
        ("AADSTS7000215: Invalid client secret provided.", Cause.SIGN_IN, "did not accept"),
        ("Max retries exceeded (Caused by NameResolutionError)", Cause.UNREACHABLE, "no network"),
        ("<urlopen error [Errno 11001] getaddrinfo failed>", Cause.UNREACHABLE, "no network"),
    ],
)
def test_a_sign_in_that_fails_says_why(said: str, cause: Cause, line: str) -> None:
    failure = explain(ClientAuthenticationError(f"DefaultAzureCredential failed.\n{said}"))
    assert failure.cause is cause
    assert line in str(failure)
    assert failure.retryable == (cause is Cause.UNREACHABLE)
