"""The liveness probe: a server that has ended or stopped answering is started again.

It begins with the first readiness. Counted from the launch, a model that loads for longer than the probe has
patience, as on a machine that has just been started, would be killed and launched again without end. The
readiness probe's own patience bounds that time.
"""

from __future__ import annotations

import logging
import threading
import time

from azureml_local.errors import ServiceError
from azureml_local.execution.server_start import ServerStart
from azureml_local.execution.servers import Servers, Serving

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 0.5  # seconds between looks at the servers
_MAX_BACKOFF = 30.0  # seconds between restarts of a container that keeps crashing


class Liveness:
    """Watches every server that answers, in a thread of its own, until the servers are closed."""

    def __init__(self, servers: Servers, start: ServerStart) -> None:
        self._servers = servers
        self._start = start
        self._thread = threading.Thread(target=self._watch, name="liveness", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the watch, after the servers were closed."""
        if self._thread.is_alive():
            self._thread.join()

    def look(self, serving: Serving) -> None:
        """Ask the server if it is time to, and start one again that has failed; raises ServiceError."""
        now, probe = time.monotonic(), serving.deployment.liveness
        if serving.restart_at is not None:
            if now >= serving.restart_at:
                serving.server = self._start.launch(serving.deployment, serving.server.directory)
                serving.restart_at, serving.failures = None, 0
                serving.ready, serving.launched = False, now
            return
        crashed = serving.server.exit_code() is not None
        if not serving.ready and not crashed:
            crashed = not self._await_ready(serving, now)
        elif not crashed and now - serving.probed >= probe.period:
            serving.probed = now
            alive = serving.server.healthy(probe.timeout)
            serving.failures = 0 if alive else serving.failures + 1
            serving.crashes = 0 if alive else serving.crashes
        if crashed or serving.failures >= probe.failure_threshold:
            logger.warning("the container of %s failed; starting it again", serving.deployment.name)
            serving.server.kill()
            serving.restart_at = now + min(_MAX_BACKOFF, 2**serving.crashes - 1)
            serving.crashes += 1

    def _watch(self) -> None:
        while not self._servers.closed.wait(_LOOK_AGAIN):
            for serving in self._servers.all():
                try:
                    self.look(serving)
                except ServiceError as error:
                    logger.info("%s: %s", serving.deployment.name, error.message)

    def _await_ready(self, serving: Serving, now: float) -> bool:
        """See whether the server is ready by now; False when it is given up."""
        readiness = serving.deployment.readiness
        if serving.server.healthy(readiness.timeout):
            serving.ready, serving.probed = True, now + serving.deployment.liveness.initial_delay
            return True
        return now - serving.launched <= readiness.patience
