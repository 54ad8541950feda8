"""What a region offers: VM sizes, and the subscription's quota of them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest
from azureml_local.state import quota, sizes
from azureml_local.state.quota import Usage
from azureml_local.state.sizes import Size
from azureml_local.wire.arm import LOCATION, body, page, route, workspace_of


def vm_sizes(request: Request) -> Response:
    """The VM sizes on offer, or those for one type of compute."""
    wanted = request.query_params.get("computeType", "").casefold()
    offered = [
        _size(size)
        for size in sizes.SIZES
        if not wanted or wanted in (name.casefold() for name in size.compute_types)
    ]
    return JSONResponse({"value": offered})


def usages(request: Request) -> Response:
    """What of the quota is in use."""
    workspace = workspace_of(request)
    rows = [_usage(workspace.settings.subscription_id, row) for row in quota.usages(workspace.store)]
    return page(request, rows, size=500)


def update_quotas(request: Request) -> Response:
    """Set limits of VM families; here also of the totals."""
    workspace = workspace_of(request)
    wanted = body(request).get("value")
    if not isinstance(wanted, list):
        raise BadRequest("The request body needs a list 'value'.", target="value")
    results = []
    for row in wanted:
        limit = row.get("limit") if isinstance(row, dict) else None
        if isinstance(limit, bool) or not isinstance(limit, int) or not -1 <= limit <= 10**9:
            raise BadRequest("Each quota needs an 'id' and a whole number 'limit' of -1 or more.")
        name = str(row.get("id", "")).rsplit("/", 1)[-1]
        quota.set_limit(workspace.store, name, limit)
        results.append(
            {"id": row["id"], "type": row.get("type"), "limit": limit, "unit": "Count", "status": "Success"}
        )
    return JSONResponse({"value": results})


def _size(size: Size) -> dict[str, Any]:
    prices = (("Standard", size.price), ("LowPriority", size.low_priority_price))
    return {
        "name": size.name,
        "family": size.family,
        "vCPUs": size.vcpus,
        "gpus": size.gpus,
        "osVhdSizeMB": 1047552,
        "maxResourceVolumeMB": size.disk,
        "memoryGB": size.memory,
        "lowPriorityCapable": size.low_priority,
        "premiumIO": "s" in size.name.split("_")[1].lower(),
        "estimatedVMPrices": {
            "billingCurrency": "USD",
            "unitOfMeasure": "OneHour",
            "values": [{"retailPrice": price, "osType": "Linux", "vmTier": tier} for tier, price in prices],
        },
        "supportedComputeTypes": list(size.compute_types),
        "generation": size.generation,
        "supportsIB": size.infiniband,
    }


def _usage(subscription: str, usage: Usage) -> dict[str, Any]:
    path = f"/subscriptions/{subscription}"
    return {
        "id": path if usage.name.startswith("Total") else f"{path}/usages/{usage.name.replace(' ', '_')}",
        "type": usage.type,
        "unit": "Count",
        "currentValue": usage.current,
        "limit": usage.limit,
        "name": {"value": usage.name, "localizedValue": usage.localized},
    }


routes = [
    route(LOCATION + "/vmSizes", GET=vm_sizes),
    route(LOCATION + "/usages", GET=usages),
    route(LOCATION + "/updateQuotas", POST=update_quotas),
]
