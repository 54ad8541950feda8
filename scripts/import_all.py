"""Import every module of both distributions, and say which cannot be imported.

Run with the interpreter of any environment that has both: it needs nothing of the checkout's own.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings

PACKAGES = ("azureml_local", "tasks", "flows")
# A model's own code: MLflow runs it where it loads the model.
PROGRAMS = {"azureml_local.catalogue.chat_python_model"}
# What an extra has, and a module is made of.
OPTIONAL = {"adlfs", "pytest"}


def main() -> int:
    import azureml_finetune

    azureml_finetune.find_workflow()
    from azureml_local.extras import CHAT

    optional = {*CHAT, *OPTIONAL}
    broken, left_out = [], 0
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name in PROGRAMS or module.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name not in optional:
                    broken.append(f"{module.name}: {error}")
                left_out += error.name in optional
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
                broken.append(f"{module.name}: {type(error).__name__}: {error}")
    without = f"; {left_out} were left out for want of an extra" if left_out else ""
    print("\n".join(broken) or f"every module was imported{without}")
    return 1 if broken else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
