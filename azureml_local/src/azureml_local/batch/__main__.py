"""`python -m azureml_local.batch`: score an input in mini batches; status 1 and the reason when it fails."""

from __future__ import annotations

import sys
from pathlib import Path

from azureml_local.batch import options
from azureml_local.batch.files import NoData
from azureml_local.batch.lane import RunFailed
from azureml_local.batch.run import BatchRun

_MLFLOW_SCRIPT = Path(__file__).with_name("mlflow_script.py")


def main() -> int:
    """The exit status."""
    try:
        BatchRun(options.read(sys.argv[1:], _MLFLOW_SCRIPT)).run()
    except NoData as error:
        print(error, file=sys.stderr)
        return 1
    except RunFailed as error:
        # The first sentences as documented in how-to-troubleshoot-batch-endpoints.
        print(
            f"{error}\nUser program failed with Exception: Run failed. Please check logs for details: "
            "logs/user/error.txt, logs/user/stdout.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
