"""How a step reaches its data."""

from __future__ import annotations

from enum import StrEnum

from azureml_local.errors import BadRequest


class Mode(StrEnum):
    """The modes in which data is reached here, by what happens; that a mount is read-only is not enforced."""

    MOUNT = "mount"  # where it lies
    DOWNLOAD = "download"  # a copy of its own
    DIRECT = "direct"  # its address alone


# As the wire and the SDK write them, in lower case and without underscores.
_NAMES = {
    "romount": Mode.MOUNT,
    "readonlymount": Mode.MOUNT,
    "rwmount": Mode.MOUNT,
    "readwritemount": Mode.MOUNT,
    "upload": Mode.MOUNT,
    "download": Mode.DOWNLOAD,
    "direct": Mode.DIRECT,
}


def read(value: object) -> Mode | None:
    """The mode of that name, None where none is given; raises BadRequest for one that is not done here."""
    if value is None:
        return None
    found = _NAMES.get(str(value).replace("_", "").casefold())
    if found is None:
        raise BadRequest(
            f"The mode {value} is none of those in which data is reached here: ro_mount, rw_mount, download, "
            "upload and direct. No table (mltable) is evaluated.",
            code="ValidationError",
            target="mode",
        )
    return found
