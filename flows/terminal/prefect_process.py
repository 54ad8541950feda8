"""The process of a temporary Prefect server: it ends with the process that holds the other end of its input.

Started as Prefect starts its own, but the client need not import the server for it: 2.5 s of a processor.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading


def main() -> None:
    """Serve on the listening socket that is inherited under the number in the first argument."""
    gc.disable()  # a fifth of the time that the imports take, of which nothing can be collected
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app()
    gc.freeze()
    gc.enable()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    uvicorn.run(app, fd=int(sys.argv[1]), log_level="error", lifespan="on")


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
