"""A user's scoring script, run as Azure's inference server runs it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import threading
from pathlib import Path
from types import ModuleType

from starlette.responses import JSONResponse, Response

from azureml_local.serving.answers import refusal

logger = logging.getLogger(__name__)


class ScriptScorer:
    """Calls the script's ``init()`` once and its ``run(raw_data)`` for each request.

    ``run`` is given the body as text. What it returns is sent as JSON, a string too: a script that returns
    ``json.dumps(…)`` answers a JSON string, as on Azure.
    """

    def __init__(self, script: Path) -> None:
        self._module = _imported(script)
        self._turn = threading.Lock()  # Azure's server has one worker, which answers one request at a time
        self._module.init()

    async def score(self, body: bytes) -> Response:
        return await asyncio.to_thread(self._score, body)

    def close(self) -> None:
        """The script holds what it holds until the process ends."""

    def _score(self, body: bytes) -> Response:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return refusal("the request body is not UTF-8 text")
        try:
            with self._turn:
                result = self._module.run(text)
        except Exception as error:  # the script is the user's; its log tells what it did
            logger.exception("run() of the scoring script failed")
            return refusal(f"run() failed: {error}", 500)
        try:
            return JSONResponse(result)
        except (TypeError, ValueError) as error:
            return refusal(f"run() returned something JSON cannot hold: {error}", 500)


def _imported(script: Path) -> ModuleType:
    if not script.is_file():
        raise FileNotFoundError(f"the scoring script {script} does not exist in the deployment's code")
    sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise AttributeError(f"the scoring script {script.name} must define {name}()")
    return module
