"""How long the training will take and what that costs: by like runs, else by a rule with its error."""

from __future__ import annotations

from statistics import median

from flows.plan.facts import Facts, Like
from flows.plan.plan import Basis, Estimate, Machines
from flows.run import training_cost
from flows.run.config import Finetune
from tasks.job.parameters import Effective

_FROM_HISTORY = 1.3  # other rows of the same data are longer, and nodes are slower at times
_FROM_TOKENS = 2.0  # of tokens that were counted or estimated from every row
_FROM_BYTES = 3.0  # of tokens that were guessed from the size of the files
_BYTES_PER_TOKEN = 4.2  # as in tasks/data/tokens.py, and a fifth more or less by the language


def of(config: Finetune, facts: Facts, effective: Effective, machines: Machines) -> Estimate | None:
    """The estimate of the step that trains; None where neither runs nor numbers for the rule are there."""
    rows = facts.data.training.rows
    if facts.like and rows:
        return _by_history(facts.like, rows, machines)
    if not config.workspace.bills:  # machines that are played have not the speed of those they are called
        return None
    return _by_rule(facts, effective, machines)


def _by_history(like: tuple[Like, ...], rows: int, machines: Machines) -> Estimate:
    """Hours of a row in the middle one of the runs, times the rows: the start of the nodes is in it."""
    hours = median(run.hours / run.rows for run in like) * rows
    runs = "1 like run" if len(like) == 1 else f"{len(like)} like runs"
    return Estimate(
        hours=hours,
        dollars=hours * machines.hourly if machines.hourly else None,
        basis=Basis.HISTORY,
        error=_FROM_HISTORY if len(like) > 1 else 2 * _FROM_HISTORY,
        rests_on=f"{runs} of {sum(run.rows for run in like):,} rows",
    )


def _by_rule(facts: Facts, effective: Effective, machines: Machines) -> Estimate | None:
    tokens, error = _tokens(facts, effective)
    if tokens is None or facts.weights is None:
        return None
    epochs = float(effective.values.get("num_train_epochs", 1))
    every = round(tokens * epochs)
    found = training_cost.estimate(
        every, facts.weights, machines.size, machines.gpus * machines.count, machines.hourly
    )
    if found is None:
        return None
    return Estimate(
        hours=found.hours,
        dollars=found.dollars,
        basis=Basis.RULE,
        error=error,
        rests_on=f"about {every / 1e6:,.1f} million tokens, {facts.weights / 1e9:,.2g} billion parameters, "
        "30% of the GPUs' peak; without the start of nodes and the other steps",
    )


def _tokens(facts: Facts, effective: Effective) -> tuple[int | None, float]:
    """Tokens of a pass over the training split, each row cut at what the job takes of it, and their error."""
    data = facts.data
    longest = int(effective.values.get("max_seq_length", -1))
    if data.prepared is not None:
        lengths = data.prepared.train.lengths
        if longest < 1:
            return lengths.tokens, _FROM_TOKENS
        counts = lengths.buckets.items()
        return sum(min(upper, longest) * rows for upper, rows in counts), _FROM_TOKENS
    split = data.training
    if split.text is None or not split.rows:
        return None, _FROM_BYTES
    tokens = round(split.text / _BYTES_PER_TOKEN)
    return (min(tokens, longest * split.rows) if longest > 0 else tokens), _FROM_BYTES
