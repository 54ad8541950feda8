"""A PostgreSQL of the test's own, from Debian's package; as an unprivileged user where the test is root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.prefect_server import free_port
from tests.support.waiting import PATIENCE

_USER = "prefect"


def programs() -> Path | None:
    """The directory of the newest version's programs, which Debian keeps off the path."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((each.parent for each in found), default=None, key=lambda path: int(path.parent.name))


@contextmanager
def running() -> Iterator[str]:
    """A server on loopback while the block runs; yields the address that Prefect takes."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # short: a socket's path may have 107 characters
    data, port = folder / "data", free_port()
    user = _unprivileged()
    if user is not None:
        shutil.chown(folder, user)
    try:
        _run(
            user, folder, "initdb", "--pgdata", str(data), "--username", _USER, "--auth", "trust", "--no-sync"
        )
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        )
        log = str(folder / "log")
        _run(user, folder, "pg_ctl", "start", "--wait", "--pgdata", str(data), "--log", log, "-o", options)
        try:
            yield f"postgresql+asyncpg://{_USER}@127.0.0.1:{port}/postgres"
        finally:
            _run(user, folder, "pg_ctl", "stop", "--pgdata", str(data), "--mode", "immediate")
    finally:
        shutil.rmtree(folder)


def _run(user: str | None, cwd: Path, program: str, *arguments: str) -> None:
    directory = programs()
    assert directory is not None
    subprocess.run(
        [str(directory / program), *arguments],
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=PATIENCE,
    )


def _unprivileged() -> str | None:
    """Whom to run as: PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    return next((name for name in ("postgres", "nobody") if _exists(name)), None)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
