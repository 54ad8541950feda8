"""A local workspace and a Prefect server for the tests, and a component and a model that are tiny."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from hypothesis import HealthCheck, settings

from azureml_local import switch
from azureml_local.served import know_the_cloud as know_the_cloud
from azureml_local.server import Address
from azureml_local.state import access, quota
from azureml_local.state.store import Store
from tasks.azure import private
from tests.support import tiny_model
from tests.support.checkout import CHILDREN
from tests.support.tiny_model import BASE as BASE
from tests.support.waiting import OFTEN

if TYPE_CHECKING:
    from tests.support.leftovers import Leftovers
    from tests.support.prefect_server import PrefectServer

# Each of the many processes here would compile Prefect, MLflow and torch again: half the time of a start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# The models here are tiny, and tests run side by side: more threads wait for each other longer than they
# compute (on two busy processors the components' tests took 44 s of them with two threads, and 10 with one).
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing but loopback is asked. The SDK and Prefect parse all authorities for every connection pool: with the
# 145 public ones that was a third of the processor time of a run in this process.
for _variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
    os.environ[_variable] = str(Path(__file__).parent / "support" / "nobody.pem")

# Nor do they look for garbage while they import.
_PATHS = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if str(CHILDREN) not in _PATHS:  # as it is where processes share the tests
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHILDREN), *_PATHS]))

# What Typer makes of a program is the same each time, and most of what a short command takes here.
typer.main.get_command = functools.cache(typer.main.get_command)

# What a shell without job control starts in the background ignores Ctrl-C, and so does whatever that starts:
# a run that a test interrupts would go on to its end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So does what `nohup` starts with the end of a terminal. The tests go on; a run that they start is not deaf.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)

# The same examples every time, whatever else the machine does; a quarter of them in the fast part alone.
_SUITE = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", _SUITE)
settings.register_profile("fast", _SUITE, max_examples=25)

pytest_plugins = ["tests.azureml_local.contract.plugin", "tests.support.leftovers"]

LetFail = Callable[..., None]

# By the clock, ten seconds or more each: a process that took one of them last would be left alone with it.
LONGEST = (
    "test_resilience.py",
    "test_as_written.py",
    "test_show.py",
    "test_money.py",
    "test_survival.py",
    "test_wheels.py",
    "test_secrets.py",
    "test_nodes.py",
    "test_deployments.py",
    "test_finetune.py",
    "test_tutorial.py",
    "test_sweep.py",
    "test_prefect_server.py",
    "test_keep.py",
    "test_failing_runs.py",
    "test_watch.py",
    "test_page_browser.py",
    "test_endpoint_restart.py",
    "test_automations.py",
    "test_shared_endpoint.py",
    "test_job_recovery.py",
)


@dataclass(frozen=True)
class LocalServer:
    """A running local workspace, and the variables that lead clients to it."""

    state: Path
    url: str
    environment: dict[str, str]

    @contextmanager
    def as_owner(self) -> Iterator[None]:
        """While the block runs, everything is allowed, where the end-to-end tests allow the least."""
        self.admin("permissions", {"roles": access.OWNER})
        yield
        self.admin("permissions", {"roles": access.LEAST_PRIVILEGE})

    def admin(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer of an admin route, below /admin."""
        return switch.ask(self.state, Address(self.url, 0), f"/admin/{path}", body)


def pytest_configure(config: pytest.Config) -> None:
    """Processes that share the tests (-n 4 --dist loadfile) take the files in order, the fast ones first."""
    if hasattr(config.option, "loadscopereorder"):  # not without xdist
        config.option.loadscopereorder = False
    settings.load_profile("fast" if config.option.markexpr == "not slow" else "suite")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while all that the tests need is imported, nor among it later.

    It was a quarter of the processor time until the first test, in each process that shares them, and a tenth
    of the tests' own: among what the SDK makes for a call, the usual threshold has it look too often.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(10_000, 10, 10)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fast tests first, so that what is wrong is said soon; of the slow ones the longest files.

    Tests of a Prefect server are slow, as its start is: three processor seconds of each process.
    """
    for item in items:
        if "prefect_server" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")

    def turn(item: pytest.Item) -> int:
        if item.get_closest_marker("slow") is None:
            return 0
        name = item.path.name
        return 1 + (LONGEST.index(name) if name in LONGEST else len(LONGEST))

    items.sort(key=turn)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, leftovers: Leftovers) -> Iterator[LocalServer]:
    """One server process for the session, at the pace `instant`, with a state of its own."""
    state = tmp_path_factory.mktemp("workspace")
    allow_many_clusters(state)
    with switch.joined(state) as environment:
        if (address := Address.read(state)) is not None:
            leftovers.keep(address.pid, "the session's workspace")
        yield LocalServer(state, environment["AZUREML_LOCAL_URL"], environment)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory, leftovers: Leftovers) -> Iterator[PrefectServer]:
    """One Prefect server for the session; the flows of this process run on it."""
    from tests.support.prefect_server import QUIET, joined, serving

    with serving(tmp_path_factory.mktemp("prefect"), **QUIET) as found:
        leftovers.keep(found.pid, "the session's Prefect server")
        with joined(found):
            yield found


def allow_many_clusters(state: Path) -> None:
    """Raise the limits that many tests would reach together; the other families keep Azure's."""
    store = Store(state / "workspace.sqlite")
    try:
        for name in ("standardDSv2Family", "TotalDedicatedCores", "TotalClusters"):
            quota.set_limit(store, name, 100_000)
    finally:
        store.close()


def poll_often(patch: pytest.MonkeyPatch) -> None:
    """Let the SDK ask often how far a deployment is; for other things its client takes a polling_interval."""
    from azure.ai.ml.constants._common import LROConfigurations

    patch.setattr(LROConfigurations, "POLL_INTERVAL", OFTEN)
    patch.setattr(LROConfigurations, "SLEEP_TIME", OFTEN)  # of who makes workspaces


@pytest.fixture(scope="session", autouse=True)
def no_poller_outlives_its_operation() -> Iterator[None]:
    """Let the SDK's threads look again at once where the service names no time, instead of after 30 s.

    The flow waits for operations itself and starts these threads by the way; a module's end waits for them.
    """
    from azure.core.polling.base_polling import LROBasePolling

    delay = LROBasePolling._extract_delay

    def soon(poller: Any) -> float:
        stated = float(delay(poller))
        return OFTEN if stated == poller._timeout else stated

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LROBasePolling, "_extract_delay", soon)
        yield


@pytest.fixture
def environment(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of the session's server, set in this process."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    know_the_cloud(server.environment["AZUREML_CURRENT_CLOUD"])
    private.resource_manager()  # the SDK would read the cloud's addresses for every client and every upload
    private.look_at_no_stack()
    private.record_no_activity()
    poll_often(monkeypatch)
    return server.environment


@pytest.fixture
def ml_client(environment: dict[str, str]) -> Any:
    """The SDK's client of the workspace, signed in as a script would."""
    return tiny_model.workspace_client()


@pytest.fixture
def registry_client(environment: dict[str, str]) -> Any:
    """The SDK's client of the registry."""
    return tiny_model.registry_client()


@pytest.fixture(scope="session")
def tiny(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The component of tiny/ in the workspace and its base model in the registry; the model's name."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        tiny_model.install(tmp_path_factory.mktemp("base") / "model")
    return BASE


@pytest.fixture
def let_fail(server: LocalServer) -> Iterator[LetFail]:
    """Puts fault rules in force until the test ends, in place of those before."""

    def put(*rules: dict[str, Any]) -> None:
        server.admin("faults", {"faults": list(rules)})

    yield put
    put()
