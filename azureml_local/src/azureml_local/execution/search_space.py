"""A sweep's hyperparameters: their distributions, and the values that its trials get.

The forms on the wire are those of the OpenAPI examples and of recorded traffic: ["uniform",[0.1,0.5]],
["choice",[[2,5,7]]]. What each distribution draws is documented (how-to-tune-hyperparameters).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from statistics import NormalDist
from typing import Any

from azureml_local.errors import BadRequest

Value = str | int | float | bool
Values = Mapping[str, Value]

_NORMAL = NormalDist()
# How many numbers each distribution takes, and what it makes of them and of a share from 0 to 1.
_Draw = Callable[[float, Sequence[float]], Value]
_DRAWS: Mapping[str, tuple[int, _Draw]] = {
    "uniform": (2, lambda share, of: _between(share, of)),
    "quniform": (3, lambda share, of: _stepped(_between(share, of), of[2])),
    "loguniform": (2, lambda share, of: math.exp(_between(share, of))),
    "qloguniform": (3, lambda share, of: _stepped(math.exp(_between(share, of)), of[2])),
    "normal": (2, lambda share, of: _around(share, of)),
    "qnormal": (3, lambda share, of: _stepped(_around(share, of), of[2])),
    "lognormal": (2, lambda share, of: math.exp(_around(share, of))),
    "qlognormal": (3, lambda share, of: _stepped(math.exp(_around(share, of)), of[2])),
    "randint": (1, lambda share, of: int(share * of[0])),
}


@dataclass(frozen=True)
class Distribution:
    """What a hyperparameter may be: one of `options`, or what `kind` makes of its numbers."""

    kind: str
    options: tuple[Value, ...] = ()
    numbers: tuple[float, ...] = ()

    def at(self, share: float) -> Value:
        """The value below which that share of all draws lies, from 0 to 1."""
        if self.options:
            return self.options[int(share * len(self.options))]
        return _DRAWS[self.kind][1](share, self.numbers)


@dataclass(frozen=True)
class SearchSpace:
    """The distributions of the hyperparameters, by name."""

    distributions: Mapping[str, Distribution]

    @property
    def size(self) -> int | None:
        """How many combinations there are; None where a hyperparameter has no end of values."""
        if not self._is_finite:
            return None
        return math.prod(len(each.options) for each in self.distributions.values())

    def grid(self) -> Iterator[Values]:
        """Every combination, each once. Raises BadRequest where there is no end of them."""
        if not self._is_finite:
            raise BadRequest(
                "Grid sampling needs hyperparameters of the type choice alone.", target="searchSpace"
            )
        for values in product(*(each.options for each in self.distributions.values())):
            yield dict(zip(self.distributions, values, strict=True))

    def random(self, seed: int | str) -> Iterator[Values]:
        """Draws without end, the same for the same seed."""
        draws = random.Random(seed)
        while True:
            yield {name: each.at(draws.random()) for name, each in self.distributions.items()}

    def sobol(self, seed: int | str, number: int) -> Iterator[Values]:
        """So many draws that cover the space evenly, the same for the same seed."""
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.distributions), seed=random.Random(seed).randrange(2**32))
        for shares in islice(sequence.random_base2((number - 1).bit_length()), number):
            pairs = zip(self.distributions.items(), shares, strict=True)
            yield {name: each.at(float(share)) for (name, each), share in pairs}

    @property
    def _is_finite(self) -> bool:
        return all(each.options for each in self.distributions.values())


def read(given: object) -> SearchSpace:
    """The search space of a request; raises BadRequest."""
    if not isinstance(given, Mapping) or not given:
        raise BadRequest("A sweep job needs a search space.", target="searchSpace")
    return SearchSpace({str(name): _distribution(str(name), each) for name, each in given.items()})


def _distribution(name: str, given: Any) -> Distribution:
    match given:
        case ["choice", [[*options]]] if options:
            if not all(isinstance(option, Value) for option in options):
                raise _refused(name, "choices are text and numbers here, not search spaces of their own")
            return Distribution("choice", options=tuple(options))
        case [str(kind), [*numbers]] if kind in _DRAWS and len(numbers) == _DRAWS[kind][0]:
            if all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
                return Distribution(kind, numbers=tuple(map(float, numbers)))
    known = ", ".join(["choice", *_DRAWS])
    raise _refused(name, f'a distribution is written as ["uniform",[0.1,0.5]]; known are {known}')


def _refused(name: str, why: str) -> BadRequest:
    return BadRequest(f"The hyperparameter {name} is not valid: {why}.", target="searchSpace")


def _between(share: float, numbers: Sequence[float]) -> float:
    return numbers[0] + share * (numbers[1] - numbers[0])


def _around(share: float, numbers: Sequence[float]) -> float:
    # The normal distribution has no value at the very ends.
    return numbers[0] + numbers[1] * _NORMAL.inv_cdf(min(max(share, 1e-12), 1 - 1e-12))


def _stepped(value: float, step: float) -> float:
    return round(value / step) * step
