"""The command lines of the steps, read by the interface that the registry publishes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from azureml_local import extras
from azureml_local.components.interface import Port

Values = Mapping[str, Any]


def parse(
    about: str,
    inputs: Mapping[str, Port],
    outputs: Mapping[str, Port],
    arguments: Sequence[str] | None = None,
) -> Values:
    """The value of every input and output by name, None for what was not given and has no default.

    Switches become bool, numbers int or float, paths Path. Ends the program with one line for a bad value, or
    when the extra `chat` is not installed.
    """
    try:
        extras.need_chat("Fine-tuning")
    except extras.ExtraMissing as error:
        sys.exit(str(error))
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    for name, port in inputs.items():
        parser.add_argument(
            f"--{name}",
            required=not port.optional and port.default is None,
            type=_reader(port),
            default=None if port.default is None else _reader(port)(port.default),
        )
    for name in outputs:
        parser.add_argument(f"--{name}", required=True, type=Path)
    return vars(parser.parse_args(arguments))


def say_without_meaning(values: Values, reasons: Mapping[str, str], inputs: Mapping[str, Port]) -> None:
    """Print one line for each input that was set to other than its default and has no meaning on a CPU."""
    for name, reason in reasons.items():
        default = inputs[name].default
        value = values[name]
        if value is not None and (default is None or value != _reader(inputs[name])(default)):
            print(f"{name}={str(value).lower()} is accepted and has no effect here: {reason}.")


def _reader(port: Port) -> Any:
    if port.is_path:
        return Path
    if port.enum == ("true", "false"):
        return _truth
    if port.enum:
        return _choice(port.enum)
    if port.type == "integer":
        return _whole(port.min)
    return float if port.type == "number" else str


def _truth(text: str) -> bool:
    if text.casefold() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return text.casefold() == "true"


def _choice(choices: tuple[str, ...]) -> Any:
    def read(text: str) -> str:
        for choice in choices:
            if text.casefold() == choice.casefold():
                return choice
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(choices)}, not {text!r}")

    return read


def _whole(least: int | None) -> Any:
    def read(text: str) -> int:
        number = float(text)
        if not number.is_integer():
            raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
        if least is not None and number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {text!r}")
        return int(number)

    return read
