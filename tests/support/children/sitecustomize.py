"""What every Python that the tests start does first: look for garbage rarely.

tests/conftest.py puts this folder on their PYTHONPATH, and Python imports a module of this name by itself.
Among what Prefect, the SDK and MLflow make when they are imported the usual threshold looks again and again,
and finds nothing: it was 1.3 of the 4.7 processor seconds that a run's process takes to begin.
"""

from __future__ import annotations

import atexit
import gc

gc.set_threshold(1_000_000, 10, 10)  # more objects than all of the imports make
atexit.register(gc.disable)  # nor in what ends anyway
