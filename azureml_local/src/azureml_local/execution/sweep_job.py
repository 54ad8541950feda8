"""A sweep job's request, read and checked: its trial, search space, sampling, objective, policy, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from azureml_local.errors import BadRequest
from azureml_local.execution import early_termination, nodes, search_space
from azureml_local.execution.component import text
from azureml_local.execution.duration import seconds
from azureml_local.execution.early_termination import Policy
from azureml_local.execution.graph import Literal
from azureml_local.execution.nodes import CommandJob
from azureml_local.execution.search_space import SearchSpace, Values

_OF_TRIAL = ("codeId", "environmentId", "environmentVariables", "resources")
_PLACE = re.compile(r"\$\{\{\s*search_space\.([\w]+)\s*\}\}")
# Documented: how-to-tune-hyperparameters. A job without a limit of trials ends by itself only with a grid.
_MOST_TRIALS = 1000
_USUAL_CONCURRENCY = (
    10  # assumed; the documentation says that all run at once, and what a cluster has limits it
)
_SAMPLINGS = {name.casefold(): name for name in ("Grid", "Random", "Bayesian")}
_RULES = {name.casefold(): name for name in ("Random", "Sobol")}
_GOALS = {name.casefold(): name for name in ("Maximize", "Minimize")}


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """A command that is run once for each combination of values that the search space gives.

    `trial` binds to its values as inputs of their names; `seed` is None where the request has none; limits
    are seconds and numbers of trials.
    """

    trial: CommandJob
    space: SearchSpace
    sampling: str
    rule: str
    seed: int | None
    metric: str
    goal: str
    policy: Policy | None
    most: int
    most_at_once: int
    timeout: float | None

    def values(self, seed: str) -> Iterator[Values]:
        """What the trials get, in their order; `seed` is for jobs that have asked for none."""
        chosen = seed if self.seed is None else self.seed
        if self.sampling == "Grid":
            return islice(self.space.grid(), self.most)
        if self.rule == "Sobol":
            return self.space.sobol(chosen, self.most)
        return islice(self.space.random(chosen), self.most)

    def trial_with(self, values: Values) -> CommandJob:
        """The trial's command with these values."""
        inputs = {name: Literal(text(value)) for name, value in values.items()}
        node = replace(self.trial.node, inputs={**self.trial.node.inputs, **inputs})
        return replace(self.trial, node=node)

    def signed(self, value: float) -> float:
        """The metric's value such that greater is better."""
        return value if self.goal == "Maximize" else -value


def read(properties: Mapping[str, Any]) -> SweepJob:
    """The sweep that a request's properties describe; raises BadRequest for what they cannot be."""
    given = normalised(properties)
    space = search_space.read(given["searchSpace"])
    sampling, objective, limits = given["samplingAlgorithm"], given["objective"], given["limits"]
    kind = sampling["samplingAlgorithmType"]
    if kind == "Bayesian":
        raise BadRequest(
            "Bayesian sampling is not done here: Grid and Random are.", target="samplingAlgorithm"
        )
    if kind == "Grid":
        next(space.grid())
    trial = _trial(given, space)
    return SweepJob(
        trial=trial,
        space=space,
        sampling=kind,
        rule=sampling.get("rule") or "Random",
        seed=sampling.get("seed"),
        metric=objective["primaryMetric"],
        goal=objective["goal"],
        policy=early_termination.read(given.get("earlyTermination")),
        most=_number(limits, "maxTotalTrials", space.size if kind == "Grid" else None),
        most_at_once=_number(limits, "maxConcurrentTrials", _USUAL_CONCURRENCY),
        timeout=seconds(limits.get("timeout")),
    )


def normalised(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties with what the service fills in, as recorded; raises BadRequest."""
    sampling = _object(properties, "samplingAlgorithm")
    objective, limits = _object(properties, "objective"), _object(properties, "limits")
    kind = _one_of(sampling, "samplingAlgorithmType", _SAMPLINGS)
    drawn = {"seed": sampling.get("seed"), "logbase": None, "rule": "Random"} if kind == "Random" else {}
    if kind == "Random" and sampling.get("rule") is not None:
        drawn["rule"] = _one_of(sampling, "rule", _RULES)
    if not isinstance(drawn.get("seed"), int | None):
        raise BadRequest("The seed of the sampling must be a whole number.", target="samplingAlgorithm")
    if not isinstance(objective.get("primaryMetric"), str) or not objective["primaryMetric"]:
        raise BadRequest("The objective needs a primaryMetric.", target="objective")
    trial = _object(properties, "trial")
    return {
        **properties,
        "samplingAlgorithm": {"samplingAlgorithmType": kind, **drawn},
        "objective": {
            "primaryMetric": objective["primaryMetric"],
            "goal": _one_of(objective, "goal", _GOALS),
        },
        "limits": {"trialTimeout": None, **limits, "jobLimitsType": "Sweep"},
        "earlyTermination": properties.get("earlyTermination"),
        "searchSpace": properties.get("searchSpace"),
        "trial": {"distribution": None, "environmentVariables": None, **trial},
    }


def _trial(given: Mapping[str, Any], space: SearchSpace) -> CommandJob:
    """The command that each trial runs, with its hyperparameters as inputs.

    One that the search space lacks is taken (azure-ai-ml's own test_sweep_job_builder): its trials fail.
    """
    trial = given["trial"]
    command = str(trial.get("command") or "")

    def place(match: re.Match[str]) -> str:
        return "${{inputs." + match[1] + "}}" if match[1] in space.distributions else match[0]

    return nodes.command_job(
        {
            "command": _PLACE.sub(place, command),
            **{key: trial.get(key) for key in _OF_TRIAL},
            **{key: given.get(key) for key in ("computeId", "inputs", "outputs")},
            "limits": {"timeout": given["limits"].get("trialTimeout")},
        }
    )


def _object(properties: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = properties.get(name) or {}
    if not isinstance(value, Mapping):
        raise BadRequest(f"The sweep's {name} must be an object.", target=name)
    return value


def _one_of(given: Mapping[str, Any], name: str, known: Mapping[str, str]) -> str:
    """The value in the service's case, whichever it came in."""
    value = known.get(str(given.get(name)).casefold())
    if value is None:
        raise BadRequest(f"{name} must be one of {', '.join(known.values())}.", target=name)
    return value


def _number(limits: Mapping[str, Any], name: str, usual: int | None) -> int:
    value = limits.get(name)
    if value is None:
        value = _MOST_TRIALS if usual is None else min(usual, _MOST_TRIALS)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_TRIALS:
        raise BadRequest(f"{name} must be a whole number from 1 to {_MOST_TRIALS}.", target="limits")
    return value
