"""The server as a process: starting, joining, being killed, and what survives."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from azureml_local import switch
from azureml_local.server import Address, CannotServe
from tests.support.imports import HEAVY, PROFILED, packages
from tests.support.processes import of_state
from tests.support.waiting import PATIENCE, until

COMMAND = [sys.executable, "-m", "azureml_local"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, where we may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    try:
        subprocess.run(mounting, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this machine does not let us mount a small file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def _up(state: Path, **how: Any) -> Iterator[subprocess.Popen[str]]:
    """A server in the foreground, once it has said that it is ready."""
    command = [*COMMAND, "up", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **how) as process:
        try:
            assert process.stdout
            assert "https://localhost:" in process.stdout.readline()
            yield process
        finally:
            process.kill()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def _session(state: Path) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # or REQUESTS_CA_BUNDLE would go before `verify`
    session.verify = str(state / "tls" / "bundle.pem")
    return session


def _blob_url(state: Path, name: str) -> str:
    from azureml_local.settings import Settings
    from azureml_local.state.clock import Clock
    from azureml_local.state.tokens import Secrets, Tokens

    address = Address.read(state)
    assert address
    settings = Settings(state, int(address.url.rsplit(":", 1)[1]))
    sas = Tokens(settings, Secrets.of(settings.secrets_path), Clock()).sas("azureml-blobstore")
    return f"{settings.blob_url}/azureml-blobstore/{name}?{sas}"


@pytest.mark.slow
def test_exec_runs_a_command_in_the_environment_and_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import os, sys; from azure.identity import DefaultAzureCredential as C;"
        "assert C().get_token('https://management.azure.com/.default').token;"
        "print(os.environ['AZUREML_LOCAL_URL']); sys.exit(7)"
    )
    done = _run("exec", "--state", str(tmp_path), "--", sys.executable, "-W", "ignore", "-c", script)
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.startswith("https://localhost:")
    assert Address.read(tmp_path) is None
    assert of_state(tmp_path) == []


def test_exec_interrupted_while_its_server_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [*COMMAND, "exec", "--state", str(tmp_path), "--", "sleep", "600"]
    with subprocess.Popen(command, start_new_session=True) as process:
        until(lambda: len(of_state(tmp_path)) > 1)  # exec itself, and the server
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(PATIENCE) == 130
    assert of_state(tmp_path) == []


def test_an_interrupt_between_the_fork_and_the_handle_leaves_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the server's process exists, and whoever started it does not know it yet."""
    fork_exec = vars(subprocess)["_fork_exec"]

    def interrupted(*arguments: Any) -> int:
        pid: int = fork_exec(*arguments)
        signal.raise_signal(signal.SIGINT)
        return pid

    monkeypatch.setattr(subprocess, "_fork_exec", interrupted)
    with pytest.raises(KeyboardInterrupt), switch.joined(tmp_path):
        pass
    assert of_state(tmp_path) == []


def test_an_interrupt_is_heard_although_no_process_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> int:
        signal.raise_signal(signal.SIGINT)
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "_fork_exec", interrupted)
    with pytest.raises(KeyboardInterrupt), switch.joined(tmp_path):
        pass


@pytest.mark.slow
def test_exec_says_when_a_command_cannot_be_run(tmp_path: Path) -> None:
    done = _run("exec", "--state", str(tmp_path), "--", "no-such-command")
    assert done.returncode == 127
    assert "Cannot run no-such-command" in done.stderr


def test_config_is_what_from_config_reads(tmp_path: Path) -> None:
    names = json.loads(_run("config").stdout)
    assert set(names) == {"subscription_id", "resource_group", "workspace_name"}


@pytest.mark.slow
def test_env_prints_exports_for_the_running_server(tmp_path: Path) -> None:
    refused = _run("env", "--state", str(tmp_path))
    assert refused.returncode == 2
    assert "azureml-local up" in refused.stderr
    with _up(tmp_path):
        done = subprocess.run(
            ["sh", "-c", f'eval "$({" ".join(COMMAND)} env --state {tmp_path})" && echo $AZUREML_LOCAL_URL'],
            capture_output=True,
            text=True,
            check=True,
        )
        address = Address.read(tmp_path)
        assert address
        assert done.stdout.strip() == address.url


@pytest.mark.slow
def test_two_that_join_share_a_server_and_the_last_one_ends_it(tmp_path: Path) -> None:
    with switch.joined(tmp_path) as first:
        with switch.joined(tmp_path) as second:
            assert second["AZUREML_LOCAL_URL"] == first["AZUREML_LOCAL_URL"]
        assert Address.read(tmp_path)
    assert Address.read(tmp_path) is None
    assert "Traceback" not in (tmp_path / "server.log").read_text()


@pytest.mark.slow
def test_a_server_that_was_there_before_stays(tmp_path: Path) -> None:
    with _up(tmp_path) as process:
        with switch.joined(tmp_path):
            pass
        assert process.poll() is None
        assert Address.read(tmp_path)


@pytest.mark.slow
def test_a_second_server_says_so_and_stops(tmp_path: Path) -> None:
    with _up(tmp_path):
        address = Address.read(tmp_path)
        assert address
        done = _run("up", "--state", str(tmp_path))
        assert done.returncode == 2
        assert address.url in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with _up(tmp_path / "one"):
        port = (tmp_path / "one" / "port").read_text()
        done = _run("up", "--state", str(tmp_path / "two"), "--port", port)
        assert done.returncode == 2
        assert f"Cannot bind to 127.0.0.1:{port}" in done.stderr


def test_a_state_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _run("up", "--state", str(tmp_path / "file" / "state"))
    assert done.returncode == 2
    assert f"Cannot use the state directory {tmp_path / 'file' / 'state'}: Not a directory" in done.stderr
    with (
        pytest.raises(CannotServe, match="Cannot use the state directory"),
        switch.joined(tmp_path / "file" / "state"),
    ):
        pass


def test_a_state_that_is_read_only_is_named(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = _run("up", "--state", str(small_disk))
    assert done.returncode == 2
    assert "Read-only file system. Choose another with --state, or make it writable." in done.stderr


@pytest.mark.slow
def test_secrets_and_keys_are_their_owners_alone(tmp_path: Path) -> None:
    with switch.joined(tmp_path / "state"):
        for name in ("secrets.json", "tls/ca.key", "tls/server.pem"):
            assert stat.S_IMODE((tmp_path / "state" / name).stat().st_mode) == 0o600, name


@pytest.mark.slow
def test_what_was_written_survives_kill_9_and_the_address_stays(tmp_path: Path) -> None:
    with _up(tmp_path) as process:
        with _session(tmp_path) as session:
            headers = {"x-ms-blob-type": "BlockBlob", "x-ms-meta-upload_status": "completed"}
            for number in range(5):
                answer = session.put(_blob_url(tmp_path, f"kept/{number}"), b"x" * 1000, headers=headers)
                assert answer.status_code == 201
            session.put(_blob_url(tmp_path, "half") + "&comp=block&blockid=YQ==", b"half")
        before = Address.read(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert Address.read(tmp_path) is None
    with _up(tmp_path):
        after = Address.read(tmp_path)
        assert before
        assert after
        assert after.url == before.url
        with _session(tmp_path) as session:
            for number in range(5):
                answer = session.get(_blob_url(tmp_path, f"kept/{number}"))
                assert answer.content == b"x" * 1000
                assert answer.headers["x-ms-meta-upload_status"] == "completed"
            assert session.get(_blob_url(tmp_path, "half")).status_code == 404


@pytest.mark.slow
def test_an_upload_cut_off_by_kill_9_is_not_visible(tmp_path: Path) -> None:
    with _up(tmp_path) as process:

        def body() -> Iterator[bytes]:
            yield b"x" * 2**20
            staging = tmp_path / "uploads" / "staging"
            until(lambda: any(staging.iterdir()))
            process.send_signal(signal.SIGKILL)
            process.wait()
            yield b"x"

        with _session(tmp_path) as session, pytest.raises(requests.RequestException):
            session.put(_blob_url(tmp_path, "cut"), data=body(), headers={"x-ms-blob-type": "BlockBlob"})
    with _up(tmp_path):
        assert not (tmp_path / "blobs" / "azureml-blobstore" / "cut").exists()
        assert list((tmp_path / "uploads" / "staging").iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_is_said_and_survived(small_disk: Path) -> None:
    with _up(small_disk), _session(small_disk) as session:
        headers = {"x-ms-blob-type": "BlockBlob"}
        answer = session.put(_blob_url(small_disk, "big"), b"x" * 8 * 2**20, headers=headers)
        assert answer.status_code == 507
        assert "No space left" in answer.text
        assert session.put(_blob_url(small_disk, "small"), b"x", headers=headers).status_code == 201


def test_a_full_disk_is_named_by_who_would_start_a_server(small_disk: Path) -> None:
    with (small_disk / "full").open("wb", 0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    (small_disk / "state").mkdir()
    done = _run("exec", "--state", str(small_disk / "state"), "--", "true")
    assert done.returncode == 2
    assert f"{small_disk / 'state'}: No space left on device" in done.stderr


@pytest.mark.slow
def test_it_is_ready_without_what_takes_seconds_to_import(tmp_path: Path) -> None:
    report = tmp_path / "report"
    with report.open("w") as stderr, _up(tmp_path / "state", stderr=stderr, env=os.environ | PROFILED):
        pass
    found = packages(report.read_text())
    assert "azureml_local" in found
    assert found & (HEAVY | {"httpx"}) == set()  # the latter is a fifth of the start


@pytest.mark.slow
def test_ctrl_c_and_a_closed_terminal_end_it_quietly(tmp_path: Path) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)):
        with _up(tmp_path) as process:
            process.send_signal(number)
            assert process.wait(PATIENCE) == code
        assert not (tmp_path / "server.json").exists()
