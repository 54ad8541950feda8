"""The SDKs' first import in the midst of a run, while another thread needs the log."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.checkout import ROOT

# What Prefect's handler does when it is flushed: it waits for a thread whose HTTP client asks a logger for
# its level, which takes logging's lock. Whoever flushes with that lock in hand waits for ever.
_RUN = """
import logging, sys, threading
from flows.finetune import finetune
from flows.watch import watch
from tasks.sign_in import Workspace, sign_in
from flows.run.workspace import opened

stuck = []

class LikePrefects(logging.Handler):
    def flush(self):
        asking = threading.Thread(target=logging.getLogger(f"client{len(stuck)}").isEnabledFor, args=(10,))
        asking.start()
        asking.join(120)
        if asking.is_alive():
            stuck.append(asking)

handler = LikePrefects()
logging.getLogger("prefect").addHandler(handler)
with opened("local"):
    sign_in.fn(Workspace())
assert "azureml.mlflow" in sys.modules
print("stuck" if stuck else "free")
sys.stdout.flush()
import os
os._exit(0)
"""


@pytest.mark.slow
def test_no_import_flushes_the_log_with_the_lock_of_logging_in_hand(environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", _RUN], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["free"], done.stdout + done.stderr
