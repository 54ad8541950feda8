"""The body of a request to create or change a compute cluster, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping

from azureml_local.errors import BadRequest
from azureml_local.state import sizes
from azureml_local.state.document import Json
from azureml_local.state.documents import ClusterSettings, ScaleSettings

# From Azure's naming rules for compute targets.
_NAME = re.compile(r"[a-zA-Z](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])$")
_DURATION = re.compile(r"P(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?$")


def check_name(name: str) -> None:
    """Raise BadRequest unless it can be a compute's name."""
    if not _NAME.match(name):
        raise BadRequest(
            f"The compute name {name!r} is not valid: 2 to 32 letters, digits and hyphens, a letter first.",
            code="InvalidComputeName",
        )


def settings(given: Json) -> ClusterSettings:
    """The checked settings of an AmlCompute; raises BadRequest."""
    if given.get("computeType") != "AmlCompute":
        raise BadRequest(
            "Only compute of type AmlCompute can be created here.",
            code="InvalidComputeType",
            target="computeType",
        )
    wanted = given.get("properties")
    if not isinstance(wanted, dict) or not isinstance(wanted.get("vmSize"), str):
        raise BadRequest("An AmlCompute needs properties.properties.vmSize.", target="vmSize")
    size = sizes.lookup(wanted["vmSize"])
    if "AmlCompute" not in size.compute_types:
        raise BadRequest(f"{size.name} cannot be used for a cluster.", code="InvalidVmSize", target="vmSize")
    priority = wanted.get("vmPriority") or "Dedicated"
    if priority not in ("Dedicated", "LowPriority"):
        raise BadRequest("vmPriority must be Dedicated or LowPriority.", target="vmPriority")
    if priority == "LowPriority" and not size.low_priority:
        raise BadRequest(f"{size.name} is not offered at low priority.", target="vmPriority")
    asked = wanted.get("scaleSettings")
    found: ClusterSettings = {
        "vmSize": size.name.upper(),
        "vmPriority": priority,
        "osType": wanted.get("osType") or "Linux",
        "scaleSettings": scale(asked if isinstance(asked, dict) else {}),
        "remoteLoginPortPublicAccess": wanted.get("remoteLoginPortPublicAccess") or "NotSpecified",
        "enableNodePublicIp": wanted.get("enableNodePublicIp", True),
        "isolatedNetwork": bool(wanted.get("isolatedNetwork", False)),
        "enableBatchPrivateLink": False,
        "subnet": wanted.get("subnet"),
        "virtualMachineImage": wanted.get("virtualMachineImage"),
    }
    account = wanted.get("userAccountCredentials")
    if isinstance(account, dict) and account.get("adminUserName"):
        # The name alone is read again (azure-ai-ml's tests: test_aml_compute_create_and_delete).
        found["userAccountCredentials"] = {"adminUserName": str(account["adminUserName"])}
    return found


def scale(given: Mapping[str, object]) -> ScaleSettings:
    """The checked scale settings of an AmlCompute; raises BadRequest."""
    most = given.get("maxNodeCount")
    least = _count("minNodeCount", given.get("minNodeCount") or 0)
    most = _count("maxNodeCount", 1 if most is None else most)
    if least > most:
        raise BadRequest("minNodeCount must not exceed maxNodeCount.", target="minNodeCount")
    idle = given.get("nodeIdleTimeBeforeScaleDown") or "PT2M"
    if not isinstance(idle, str) or not _DURATION.match(idle):
        raise BadRequest(
            "nodeIdleTimeBeforeScaleDown must be an ISO 8601 duration such as PT2M.",
            target="nodeIdleTimeBeforeScaleDown",
        )
    return {"minNodeCount": least, "maxNodeCount": most, "nodeIdleTimeBeforeScaleDown": idle}


def _count(name: str, count: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 65000:
        raise BadRequest(f"{name} must be a whole number from 0 to 65000.", target=name)
    return count
