"""Where the SDK's requests or the server's answers are not as the documents have them, and why."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Side = Literal["request", "response"]


@dataclass(frozen=True)
class Deviation:
    """One known difference; `operation` and `finding` are patterns with stars."""

    operation: str
    side: Side | None
    finding: str
    reason: str

    def covers(self, operation: str, side: Side, finding: str) -> bool:
        """Whether this is that finding; a deviation without a side is both sides'."""
        return (
            self.side in (None, side)
            and fnmatchcase(operation, self.operation)
            and fnmatchcase(finding, self.finding)
        )


DEVIATIONS = (
    Deviation(
        "Registries_CreateOrUpdate",
        "request",
        "unknown property properties.managedResourceGroupTags",
        "of the version of 2022, which the SDK still sends",
    ),
    Deviation(
        "Registries_CreateOrUpdate",
        "response",
        "status 202 is not among *",
        "recorded in 2022, and what the SDK waits for",
    ),
    Deviation(
        "WorkspaceConnections_*",
        None,
        "unknown property properties.credentials.sas",
        "the SDK sends an account key under the name of a signature, and reads it there",
    ),
    Deviation(
        "WorkspaceConnections_Create",
        "request",
        "value 'AzureOpenAi' of properties.category is not in the document",
        "the SDK makes the category of words; answers have the document's capitals",
    ),
    Deviation(
        "*CodeVersions_CreateOrUpdate",
        "request",
        "type of properties.properties.* is not 'string'",
        "the SDK sends the version of its hash as a number; the server keeps a string",
    ),
    Deviation(
        "Jobs_*",
        None,
        "unknown property *properties.outputs.*.asset*",
        "name and version of an output that becomes an asset: new in the SDK's version, 2024-01-01-preview",
    ),
    Deviation(
        "Jobs_*",
        "response",
        "unknown property *properties.inputs",
        "only of kinds that the workspace does not run: tests put such jobs of other people into its state",
    ),
    Deviation(
        "Jobs_CreateOrUpdate",
        "request",
        "value 'm*imize' of properties.objective.goal is not in the document",
        "the SDK sends a sweep's goal in lower case, as recorded; answers have the document's case",
    ),
    Deviation(
        "Schedules_CreateOrUpdate",
        "request",
        "value * of properties.trigger.* is not in the document",
        "the SDK sends frequencies and days in lower case; answers have the document's case",
    ),
    Deviation(
        "Jobs_Get",
        "response",
        "missing property properties",
        "a pipeline's step has none: seen in recorded traffic, and what the SDK tells it by",
    ),
    Deviation(
        "Jobs_*",
        "response",
        "value 'Labeling' of *jobType is not in the document",
        "a kind that workspaces have and this version's document leaves out",
    ),
    Deviation(
        "Datastores_*",
        "response",
        "missing property *.credentials.secrets",
        "secrets are left out of answers, as recorded in 2022",
    ),
    Deviation(
        "RegistryModelVersions_*",
        "response",
        "unknown property *properties.systemMetadata",
        "what a registry says of a model itself: only in 2021-10-01-dataplanepreview, which the SDK uses",
    ),
    Deviation(
        "OnlineEndpoints_CreateOrUpdate",
        "response",
        "missing property location",
        "the answer to a PUT of an endpoint that exists has none (recorded in 2025)",
    ),
    Deviation(
        "BatchEndpoints_CreateOrUpdate",
        "request",
        "value 'aadToken' of properties.authMode is not in the document",
        "the SDK sends it so, as recorded; answers have the document's case",
    ),
    Deviation(
        "BatchDeployments_CreateOrUpdate",
        "request",
        "value * of properties.loggingLevel is not in the document",
        "the SDK sends it in lower case, as recorded; answers have the document's case",
    ),
    Deviation(
        "Registry*Containers_List",
        "request",
        "query parameter listViewType is 'ListViewType.*'",
        "the SDK writes the name of its enumeration's member instead of the value",
    ),
)


def reason(operation: str, side: Side, finding: str) -> str | None:
    """Why such a finding is no mistake; None when it is one."""
    return next((known.reason for known in DEVIATIONS if known.covers(operation, side, finding)), None)
