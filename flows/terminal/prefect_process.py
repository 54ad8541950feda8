"""The process of a temporary Prefect server: it ends with the process that holds the other end of its input.

Started as Prefect starts its own, but the client need not import the server for it: 2.5 s of a processor.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn


def main() -> None:
    """Serve on the listening socket that is inherited under the number in the first argument."""
    serving: list[uvicorn.Server] = []
    threading.Thread(target=_end_with_parent, args=[serving], name="parent", daemon=True).start()
    gc.disable()  # a fifth of the time that the imports take, of which nothing can be collected
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app()
    gc.freeze()
    gc.enable()
    server = uvicorn.Server(uvicorn.Config(app, fd=int(sys.argv[1]), log_level="error", lifespan="on"))
    serving.append(server)
    server.run()


def _end_with_parent(serving: list[uvicorn.Server]) -> None:
    sys.stdin.buffer.read()
    if not serving:  # it is imported as yet: there is nothing to finish
        os._exit(0)
    serving[0].should_exit = True


if __name__ == "__main__":
    main()
