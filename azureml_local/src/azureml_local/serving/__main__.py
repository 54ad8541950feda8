"""``python -m azureml_local.serving``: load one model, then answer on loopback until stopped."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.applications import Starlette

_GIVEN = dict(os.environ)

# Before torch and transformers are imported: no look-ups on a hub, no progress bars in the deployment's log.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def main() -> None:
    """Load the model and serve it; one that cannot be loaded ends the process with a traceback."""
    parser = argparse.ArgumentParser(prog="python -m azureml_local.serving", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument(
        "--announce",
        type=Path,
        required=True,
        help="file that receives port and token",
    )
    parser.add_argument("--model", type=Path, help="folder of an MLflow model")
    parser.add_argument("--script", type=Path, help="a scoring script with init() and run()")
    parser.add_argument(
        "--python", type=Path, help="folder of the executables of an environment that the script runs in"
    )
    parser.add_argument("--rows", type=int, default=8, help="conversations generated at a time")
    parser.add_argument("--threads", type=int, help="threads for arithmetic (default: one a core)")
    parser.add_argument("--precision", choices=("16", "32"), default="16", help="16 where the processor can")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    from azureml_local import imports

    with imports.uncollected():
        import uvicorn

        from azureml_local.extras import ExtraMissing
        from azureml_local.serving.guard import Announcement, Guard

    try:
        application = _application(arguments)
    except ExtraMissing as error:
        parser.exit(1, f"{error}\n")
    token = secrets.token_urlsafe(32)
    config = uvicorn.Config(
        Guard(application, token),
        log_config=None,
        access_log=arguments.python is None,  # the environment's server has a log of its own
        timeout_graceful_shutdown=5,
    )
    with socket.create_server(("127.0.0.1", arguments.port), backlog=config.backlog) as listener:
        if arguments.announce:
            Announcement(listener.getsockname()[1], token).write(arguments.announce)
        uvicorn.Server(config).run(sockets=[listener])


def _application(arguments: argparse.Namespace) -> Starlette:
    """What answers: the loaded model, or the server of the environment that the script runs in."""
    if arguments.python is not None:
        from azureml_local.serving import inference_server

        return inference_server.create(arguments.python, _GIVEN)
    from azureml_local import imports, processor

    processor.wait_without_spinning()
    with imports.uncollected():
        from azureml_local.serving import app, scorer

    loaded = scorer.load(
        arguments.model,
        arguments.script,
        rows=arguments.rows,
        threads=arguments.threads,
        precision=arguments.precision,
    )
    return app.create(loaded)


if __name__ == "__main__":
    main()
