"""The scoring script of an MLflow model that was deployed without one, as Azure generates one.

Documented in how-to-mlflow-batch: the types of files, predict() once for each file, the types of a signature
enforced; a row of the output is the row's number in a table, the prediction and the file's name. Like
worker.py it imports nothing of this package, and it is run by the environment's Python.
"""

from __future__ import annotations

import csv
import importlib
import io
import os
from typing import Any, List  # noqa: UP035  # in a signature that Python 3.8 reads

_TABLES = (".csv", ".parquet", ".pqt")
_IMAGES = (".png", ".jpg", ".jpeg", ".tiff", ".bmp", ".gif")


class _Model:
    """The model that init() has loaded."""

    loaded: Any = None


def init() -> None:
    """Load the model."""
    import mlflow.pyfunc

    parent = os.environ["AZUREML_MODEL_DIR"]
    (name,) = os.listdir(parent)
    _Model.loaded = mlflow.pyfunc.load_model(os.path.join(parent, name))


def run(mini_batch: List[str]) -> List[str]:  # noqa: UP006
    """The rows of every file; raises ValueError for one that cannot be read or scored."""
    rows: List[str] = []  # noqa: UP006
    for path in mini_batch:
        ending = os.path.splitext(path)[1].lower()
        try:
            predictions = _Model.loaded.predict(_data(path, ending))
        except Exception as error:
            raise ValueError("Error processing input file: '" + path + "'. " + str(error)) from error
        rows += _rows(predictions, os.path.basename(path), ending in _TABLES)
    return rows


def _data(path: str, ending: str) -> Any:
    if ending == ".csv":
        import pandas

        return pandas.read_csv(path, dtype=_types())
    if ending in _TABLES:
        import pandas

        return pandas.read_parquet(path)
    if ending in _IMAGES:
        return _image(path)
    raise ValueError("File type '" + ending.lstrip(".") + "' is not supported.")


def _types() -> Any:
    """The types of the columns, by the model's signature where it has one of columns."""
    schema = _Model.loaded.metadata.get_input_schema()
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return None
    names, types = schema.input_names(), schema.pandas_types()
    return {name: types[number] for number, name in enumerate(names)}


def _image(path: str) -> Any:
    """An image as an array, in the shape of a signature of tensors; else one of bytes."""
    import numpy

    # By its name: this distribution does not bring it, the deployment's environment may.
    with importlib.import_module("PIL.Image").open(path) as opened:
        pixels = numpy.array(opened)
    schema = _Model.loaded.metadata.get_input_schema()
    if schema is not None and schema.is_tensor_spec():
        tensor = schema.inputs[0]
        return pixels.astype(tensor.type).reshape(tensor.shape)
    return pixels.astype(numpy.uint8).reshape((1, *pixels.shape))


def _rows(predictions: Any, name: str, is_table: bool) -> List[str]:  # noqa: UP006
    if hasattr(predictions, "itertuples"):
        values = [list(row) for row in predictions.itertuples(index=False)]
    else:
        values = [[_plain(value)] for value in predictions]
    numbered = ([number, *row] if is_table else row for number, row in enumerate(values))
    return [_line([*row, name]) for row in numbered]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _line(values: List[Any]) -> str:  # noqa: UP006
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
