"""`finetune ps`, `logs` and `cancel`: what is live, what it says, and how it is ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from azure.ai.ml import command
from azure.ai.ml.entities import AmlCompute, IdentityConfiguration, ManagedOnlineEndpoint
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.objects import State
from prefect.states import Cancelling, Completed, Running, Suspended
from prefect.types._datetime import now
from typer.testing import CliRunner, Result

from flows.terminal.cli import app
from tasks import endpoint
from tasks.azure import listing
from tasks.azure.clients import Session
from tasks.core.lease import Lease
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LetFail
from tests.support.prefect_server import PrefectServer
from tests.support.waiting import until

ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"

MakeRun = Callable[..., tuple[UUID, str]]
Submit = Callable[..., str]


@pytest.fixture(autouse=True)
def servers(prefect_server: PrefectServer, environment: dict[str, str]) -> None:
    """A Prefect server and a workspace for all of them."""


@pytest.fixture
def session(environment: dict[str, str]) -> Session:
    return sign_in.fn(Workspace())


@pytest.fixture
def make_run() -> Iterator[MakeRun]:
    """Puts a run into the server, in this state, with a name of its own; a worker's if asked to."""
    made: list[UUID] = []
    deployments: list[UUID] = []

    def put(state: State[Any], *, deployed: bool = False) -> tuple[UUID, str]:
        name = f"tiny, 5 of sample, {uuid4().hex[:12]}"
        with get_client(sync_client=True) as client:
            if deployed:
                owner = client.create_deployment(client.create_flow(flow(name="finetune")(print)), name)
                deployments.append(owner)
                run = client.create_flow_run_from_deployment(owner, name=name)
                client.set_flow_run_state(run.id, state, force=True)
            else:
                run = client.create_flow_run(flow(name="finetune")(print), name=name, state=state)
        made.append(run.id)
        return run.id, name

    yield put
    with get_client(sync_client=True) as client:
        for identity in made:
            client.delete_flow_run(identity)
        for identity in deployments:
            client.delete_deployment(identity)


@pytest.fixture
def submit(ml_client: Any) -> Iterator[Submit]:
    """Submits a job on a cluster of its own; both are gone after the test."""
    cluster = f"cl-{uuid4().hex[:8]}"
    ml_client.compute.begin_create_or_update(
        AmlCompute(
            name=cluster,
            size="Standard_DS3_v2",
            max_instances=4,
            identity=IdentityConfiguration(type="system_assigned"),
        )
    ).wait()

    def put(what: str, **tags: str) -> str:
        job = command(command=what, environment=ENVIRONMENT, compute=cluster, tags=tags)
        return str(ml_client.jobs.create_or_update(job).name)

    yield put
    ml_client.compute.begin_delete(cluster).wait()


@pytest.fixture
def make_endpoint(ml_client: Any, session: Session) -> Iterator[Callable[[Lease], str]]:
    made: list[str] = []

    def put(lease: Lease) -> str:
        made.append(f"ep-{uuid4().hex[:12]}")
        wanted = ManagedOnlineEndpoint(name=made[-1], auth_mode="key", tags=lease.tags())
        ml_client.online_endpoints.begin_create_or_update(wanted).wait()
        return made[-1]

    yield put
    for name in made:
        if endpoint.find(session, name) is not None:
            endpoint.remove(session, name, None)


def finetune(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def state_of(run: UUID) -> State[Any]:
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(run).state
    assert found is not None
    return found


def log(run: UUID, *messages: str) -> None:
    with get_client(sync_client=True) as client:
        client.request(
            "POST",
            "/logs/",
            json=[
                LogCreate(
                    name="prefect.flow_runs", level=20, message=message, timestamp=now(), flow_run_id=run
                ).model_dump(mode="json")
                for message in messages
            ],
        )


@pytest.mark.slow
def test_ps_lists_what_is_live_with_age_lease_and_price(
    make_run: MakeRun, make_endpoint: Callable[[Lease], str], submit: Submit
) -> None:
    run, name = make_run(Running())
    _, over = make_run(Completed())
    lease = Lease.of_run(str(run), 2).priced(3.67)
    job, served = submit("sleep 600", **lease.tags()), make_endpoint(lease)
    done = finetune("ps", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert name in [each["name"] for each in found["runs"]]
    assert over not in [each["name"] for each in found["runs"]]
    things = {(each["kind"], each["name"]): each for each in found["things"]}
    assert things["job", job]["hourly"] == 3.67
    assert all(things[key]["created"] for key in (("job", job), ("endpoint", served)))
    assert found["hourly"] >= 3.67
    shown = finetune("ps").stdout
    (line,) = [line for line in shown.splitlines() if f"job {job}" in line]
    assert line.split()[-1] == "3.67"
    assert "$3.67 an hour" in shown.splitlines()[-1]


def test_ps_says_what_could_not_be_looked_at_and_shows_the_rest(make_run: MakeRun, let_fail: LetFail) -> None:
    _, name = make_run(Running())
    let_fail({"kind": "status", "method": "GET", "path": "/**/computes", "status": 403, "count": None})
    done = finetune("ps", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert name in [each["name"] for each in found["runs"]]
    assert set(found["unseen"]) == {"clusters"}


def test_logs_of_a_run_are_printed_by_a_part_of_its_name(make_run: MakeRun) -> None:
    run, name = make_run(Completed())
    log(run, *(f"line {number}" for number in range(250)))  # more than the server gives at once
    done = finetune("logs", name[-12:], "--follow")
    assert done.exit_code == 0, done.output
    assert [line.partition(" | ")[2] for line in done.stdout.splitlines()] == [
        f"line {number}" for number in range(250)
    ]
    first = json.loads(finetune("logs", str(run), "--json").stdout.splitlines()[0])
    assert (first["text"], first["level"]) == ("line 0", 20)


def test_logs_of_a_job_are_followed_until_it_ends(submit: Submit, session: Session) -> None:
    # Without a lease it has none of our runs: the name alone says which it is.
    pipeline = submit("echo begun; echo done")
    until(lambda: listing.submitted(session, pipeline).state == "Completed")
    done = finetune("logs", pipeline, "-f")
    assert done.exit_code == 0, done.output
    assert [line.partition(" | ")[2] for line in done.stdout.splitlines()] == ["begun", "done"]


@pytest.mark.parametrize("what", ["logs", "cancel"])
def test_a_name_that_nothing_has_is_one_line(what: str) -> None:
    done = finetune(what, "nothing-is-called-this")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "There is no run and no job 'nothing-is-called-this'." in line


def test_a_name_that_two_runs_have_is_answered_with_their_ids(make_run: MakeRun) -> None:
    runs = [make_run(Running()) for _ in range(2)]
    done = finetune("logs", "5 of sample")
    assert done.exit_code == 1
    assert all(str(identity) in done.stderr for identity, _ in runs)


@pytest.mark.slow
def test_cancel_releases_what_a_suspended_run_holds(
    make_run: MakeRun, make_endpoint: Callable[[Lease], str], submit: Submit, session: Session
) -> None:
    run, name = make_run(Suspended())
    lease = Lease.of_run(str(run), 2)
    job, served = submit("sleep 600", **lease.tags()), make_endpoint(lease)
    others = submit("sleep 600", **Lease.of_run("another", 2).tags())
    done = finetune("cancel", name, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["run"], said["state"]) == (name, "Cancelled")
    assert set(said["released"]) == {f"job {job}", f"endpoint {served}"}
    assert state_of(run).is_cancelled()
    until(lambda: listing.submitted(session, job).state == "Canceled")
    assert listing.submitted(session, others).is_live


def test_cancel_asks_the_worker_of_a_run_that_has_a_process(make_run: MakeRun) -> None:
    run, name = make_run(Running(), deployed=True)
    done = finetune("cancel", name)
    assert done.exit_code == 0, done.output
    assert state_of(run).is_cancelling()


def test_cancel_leaves_the_run_of_a_terminal_to_its_person_unless_it_is_lost(
    make_run: MakeRun, make_endpoint: Callable[[Lease], str], session: Session
) -> None:
    run, _ = make_run(Running())
    served = make_endpoint(Lease.of_run(str(run), 2))
    refused = finetune("cancel", str(run))
    assert refused.exit_code == 1
    assert f"Press Ctrl-C there. If its process is gone, run: finetune cancel --lost {run}" in refused.stderr
    assert state_of(run).is_running()
    assert endpoint.find(session, served) is not None
    done = finetune("cancel", "--lost", str(run))
    assert done.exit_code == 0, done.output
    assert state_of(run).is_cancelled()
    assert endpoint.find(session, served) is None


def test_cancel_of_a_run_that_has_ended_says_so(make_run: MakeRun) -> None:
    run, _ = make_run(Completed())
    refused = finetune("cancel", str(run))
    assert refused.exit_code == 1
    assert "has ended already: Completed." in refused.stderr


def test_cancel_goes_on_where_a_cancellation_hangs(make_run: MakeRun) -> None:
    run, _ = make_run(Cancelling(), deployed=True)
    assert finetune("cancel", "--lost", str(run)).exit_code == 0
    assert state_of(run).is_cancelled()


@pytest.mark.slow
def test_cancel_ends_a_job_of_ours_and_no_other(submit: Submit, session: Session) -> None:
    ours, theirs = submit("sleep 600", **Lease.of_run("r", 2).tags()), submit("sleep 600")
    assert finetune("cancel", ours).exit_code == 0
    until(lambda: listing.submitted(session, ours).state == "Canceled")
    refused = finetune("cancel", theirs)
    assert refused.exit_code == 1
    assert "no job of this project" in refused.stderr
    assert listing.submitted(session, theirs).is_live


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--where", "local", "--workspace", "ws1"], "name is for a workspace in Azure"),
        (["--workspace", "a/b/c/d"], "'a/b/c/d' names no workspace."),
        (["--recipe", "nowhere"], "There is no recipe 'nowhere'."),
        (["--credentials", "nobody"], "nobody"),
    ],
)
@pytest.mark.parametrize("what", ["ps", "reap"])
def test_a_workspace_that_cannot_be_made_out_is_one_line(what: str, arguments: list[str], line: str) -> None:
    done = finetune(what, *arguments)
    assert done.exit_code == 1
    assert line in done.stderr.splitlines()[0]


def test_reap_takes_a_workspace_by_its_name(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
    for name in names:
        monkeypatch.delenv(name)
    place = "/".join(environment[name] for name in names)
    done = finetune("reap", "--workspace", place, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["workspaces"]
    assert found.endswith(f"/workspaces/{environment['AZUREML_WORKSPACE_NAME']}")
