"""Names as Azure takes them, checked here and by the form before anything is asked of a service."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Rule:
    """A pattern, and what it asks for in words."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}

    def checked(self, value: str) -> str:
        """The value; raises ValueError where Azure would refuse it."""
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"{value!r} is not {self.words}")
        return value


# Azure's rules: learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
SubscriptionId = Annotated[
    str,
    Rule(
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "a subscription's id such as 01234567-89ab-cdef-0123-456789abcdef",
    ),
]
ResourceGroup = Annotated[
    str,
    Rule(r"[-\w.()]{0,89}[-\w()]", "1 to 90 letters, digits, -, _, ., ( or ), without a dot at the end"),
]
WorkspaceName = Annotated[
    str, Rule(r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}", "3 to 33 letters, digits, - or _, a letter or digit first")
]
RegistryName = WorkspaceName
# What Azure answers to another: "Experiment name must be 1-256 characters, start with a letter or a number,
# and can only contain letters, numbers, underscores, and dashes" (dotnet/machinelearning-modelbuilder #1773).
ExperimentName = Annotated[
    str,
    Rule(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,255}", "1 to 256 letters, digits, _ or -, a letter or digit first"),
]
AssetName = Annotated[
    str,
    Rule(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", "1 to 255 letters, digits, ., _ or -, a letter or digit first"),
]
Version = Annotated[str, Rule(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", "a version: letters, digits, ., _ or -")]
ClusterName = Annotated[
    str,
    Rule(
        r"[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]",
        "3 to 32 letters, digits or -, a letter first and no - at the end",
    ),
]
Size = Annotated[str, Rule(r"[A-Za-z0-9_]{1,64}", "a VM size such as Standard_NC24ads_A100_v4")]
EndpointName = ClusterName
