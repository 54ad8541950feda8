"""One process that scores: it loads a scoring script, calls init(), and run() for every mini batch.

It is run as a file by the Python of the deployment's environment, from 3.8 on and with the standard library
alone. It reads mini batches as lines of JSON from one file descriptor and answers each on another, as the
script may print what it likes: python worker.py SCRIPT READ WRITE [the script's arguments].
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from types import ModuleType
from typing import Any, Dict, Tuple  # noqa: UP035  # in a signature that Python 3.8 reads


def main() -> None:
    """Answer until there are no more mini batches; a script that cannot begin is answered with its error."""
    script, asked, answered = os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    sys.argv = [script, *sys.argv[4:]]
    sys.path[0] = os.path.dirname(script)  # instead of this file's folder
    for descriptor in (asked, answered):
        os.set_inheritable(descriptor, False)  # not for what the script starts
    # Open until the process ends.
    requests, answers = os.fdopen(asked, encoding="utf-8"), os.fdopen(answered, "w", encoding="utf-8")
    try:
        module = _imported(script)
        module.init()
    except BaseException:  # noqa: BLE001  # sys.exit() in a script as well; the driver says what it was
        _answer(answers, {"error": traceback.format_exc()})
        return
    _answer(answers, {"rows": "", "count": 0})
    for line in requests:
        _answer(answers, _scored(module, json.loads(line)))


def _answer(answers: Any, document: Dict[str, Any]) -> None:  # noqa: UP006
    answers.write(json.dumps(document) + "\n")
    answers.flush()


def _scored(module: ModuleType, files: Any) -> Dict[str, Any]:  # noqa: UP006
    try:
        rows, count = _rows(module.run(files))
    except Exception:  # noqa: BLE001  # the script is the user's
        return {"error": traceback.format_exc()}
    return {"rows": rows, "count": count}


def _rows(result: Any) -> Tuple[str, int]:  # noqa: UP006
    """The lines that a result adds to the output, and the number of its elements.

    Documented: a DataFrame without header and index, its values between blanks (mnist-batch.ipynb reads them
    so); of anything else each element as text.
    """
    if hasattr(result, "to_csv"):
        return str(result.to_csv(sep=" ", header=False, index=False)), len(result)
    if isinstance(result, (list, tuple)) or hasattr(result, "tolist"):
        elements = list(result)
        return "".join(str(element) + "\n" for element in elements), len(elements)
    raise TypeError("run() must return a pandas DataFrame or a list, not " + type(result).__name__)


def _imported(script: str) -> ModuleType:
    if not os.path.isfile(script):
        raise FileNotFoundError(script + " is not in the deployment's code")
    name = os.path.splitext(os.path.basename(script))[0]
    spec = importlib.util.spec_from_file_location(name, script)
    if spec is None or spec.loader is None:
        raise ImportError(script + " is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    for function in ("init", "run"):
        if not callable(getattr(module, function, None)):
            raise AttributeError("the scoring script " + name + ".py must define " + function + "()")
    return module


if __name__ == "__main__":
    main()
