"""Which deployment of an endpoint answers a scoring request, and the way there and back."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from azureml_local.errors import NotFound, ServiceError
from azureml_local.execution.deployment import Deployment
from azureml_local.execution.scoring_stream import ScoringStream
from azureml_local.execution.servers import Servers
from azureml_local.serving.guard import Announcement
from azureml_local.state.documents import DEPLOYMENTS
from azureml_local.state.endpoint_documents import EndpointDocument
from azureml_local.state.store import Store

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

DEPLOYMENT_HEADER = "azureml-model-deployment"

_MAX_WAIT = 200.0  # seconds, above any request timeout there can be
# Of RFC 9110 (7.6.1), and besides: who is asked, what opens the endpoint, what every one says for itself.
_OF_CONNECTIONS = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade"}
    | {"transfer-encoding", "content-length", "content-encoding", "accept-encoding"}
    | {"host", "authorization", "date", "server"}
)
# A model server closes connections that were idle for 5 seconds; never send on one that it is about to close.
_KEEP_ALIVE = 2.0


@dataclass(frozen=True)
class ScoringRequest:
    """What a client sends to an endpoint; `path` is the one below it, with its query."""

    body: bytes
    method: str = "POST"
    path: str = "/score"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelAnswer:
    """What a model answers; one that comes in pieces has a `stream` in the place of a body."""

    status: int
    body: bytes
    media_type: str | None
    stream: ScoringStream | None = None
    headers: Sequence[tuple[str, str]] = ()

    @property
    def is_success(self) -> bool:
        """Whether the model could score the request."""
        return 200 <= self.status < 300


class Router:
    """Sends scoring requests to model servers; belongs to one event loop."""

    def __init__(self, store: Store, servers: Servers) -> None:
        self._store = store
        self._servers = servers
        # Copies under way; the event loop itself keeps only weak references to tasks.
        self._copies: set[asyncio.Task[None]] = set()

    def choose(self, endpoint: EndpointDocument, named: str | None) -> str:
        """The full name of the deployment that answers: the `named` one, else by traffic; raises NotFound."""
        if named is not None:
            document = self._store.get(DEPLOYMENTS, f"{endpoint['name']}/{named}")
            if document is None:
                raise NotFound(
                    f"The endpoint '{endpoint['name']}' has no deployment '{named}'.",
                    code="DeploymentNotFound",
                )
            return f"{endpoint['name']}/{document['name']}"
        shares = {name: share for name, share in endpoint["properties"]["traffic"].items() if share}
        if not shares:
            raise NotFound(
                f"No deployment of the endpoint '{endpoint['name']}' gets traffic: set its traffic, or name "
                f"a deployment in the header {DEPLOYMENT_HEADER}.",
                code="NoTraffic",
            )
        (deployment,) = random.choices(list(shares), weights=list(shares.values()))
        return f"{endpoint['name']}/{deployment}"

    def mirror(self, endpoint: EndpointDocument, request: ScoringRequest) -> None:
        """Send copies of the mirrored share of requests, whose answers nobody reads."""
        for deployment, share in endpoint["properties"]["mirrorTraffic"].items():
            if random.uniform(0, 100) < share:
                task = asyncio.create_task(self._copy(f"{endpoint['name']}/{deployment}", request))
                self._copies.add(task)
                task.add_done_callback(self._copies.discard)

    async def forward(self, name: str, request: ScoringRequest) -> ModelAnswer:
        """The deployment's answer; raises ServiceError 408, 429 or 502 where it has none."""
        import httpx

        document = self._store.get(DEPLOYMENTS, name)
        server = self._servers.answering(name)
        address = None if server is None else server.address
        if document is None or address is None:
            raise ServiceError(
                502, "BadGateway", f"The deployment '{name}' has no instance that answers: see its logs."
            )
        deployment = Deployment.of(name, document)
        deadline = asyncio.get_running_loop().time() + deployment.timeout
        try:
            async with asyncio.timeout_at(deadline), AsyncExitStack() as held:
                await held.enter_async_context(self._servers.gate(deployment).enter())
                answer = await held.enter_async_context(self._sent(address, request))
                status, media_type = answer.status_code, answer.headers.get("content-type")
                if answer.is_success and _streams(media_type):
                    return ModelAnswer(
                        status, b"", media_type, ScoringStream(answer, held.pop_all(), deadline)
                    )
                body, headers = await answer.aread(), _own(answer.headers.multi_items())
                return ModelAnswer(status, body, media_type, headers=headers)
        except TimeoutError as error:
            raise ServiceError(
                408,
                "RequestTimeout",
                f"The deployment '{name}' did not answer within its request timeout of "
                f"{deployment.timeout:g} seconds: raise request_timeout_ms (at most 180000), or ask for "
                "less.",
            ) from error
        except httpx.TransportError as error:
            raise ServiceError(
                502,
                "BadGateway",
                f"The deployment '{name}' closed the connection without an answer: see its logs.",
            ) from error

    async def close(self) -> None:
        """Close the connections to model servers."""
        if "_client" in self.__dict__:
            await self._client.aclose()

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        import httpx  # late: most workspaces are asked nothing, and it is a fifth of a server's start

        # The deployment's own request timeout is the one that counts, and its gate bounds the connections.
        limits = httpx.Limits(keepalive_expiry=_KEEP_ALIVE)
        return httpx.AsyncClient(trust_env=False, verify=False, timeout=_MAX_WAIT, limits=limits)

    def _sent(
        self, address: Announcement, request: ScoringRequest
    ) -> AbstractAsyncContextManager[httpx.Response]:
        return self._client.stream(
            request.method,
            f"http://127.0.0.1:{address.port}{request.path}",
            content=request.body,
            headers={**dict(_own(request.headers.items())), **address.headers},
        )

    async def _copy(self, name: str, request: ScoringRequest) -> None:
        try:
            answer = await self.forward(name, request)
            if answer.stream is not None:
                await answer.stream.close()
            logger.info("mirrored a request to %s: %d", name, answer.status)
        except ServiceError as error:
            logger.info("mirrored a request to %s: %d %s", name, error.status, error.message)


def _own(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that are about a message itself, not about the connection that carries it."""
    return [(name, value) for name, value in headers if name.lower() not in _OF_CONNECTIONS]


def _streams(media_type: str | None) -> bool:
    """Whether the answer is server-sent events, which pass through an Azure endpoint one by one.

    Seen in Microsoft's samples, whose clients read tokens from NVIDIA's and Hugging Face's containers.
    """
    return (media_type or "").partition(";")[0].strip() == "text/event-stream"
