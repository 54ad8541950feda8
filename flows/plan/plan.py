"""The plan of a run as a value: what it would do, with what, for how much; renderers make pages of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from flows.run.most import Most
from tasks.core.stages import Stage
from tasks.data.expected import Expected
from tasks.quota import Need, Room


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Act(StrEnum):
    """What a stage would do to what there is."""

    READ = "read"  # it looks, and makes nothing
    REUSE = "reuse"  # what an earlier run has made
    NEW = "new"
    DEPENDS = "depends"  # on what is not known before the run
    DELETE = "delete"


class Step(_Value):
    """One stage of the run, and what it would do."""

    stage: Stage
    act: Act
    says: str


class Origin(StrEnum):
    """Who sets a parameter."""

    USER = "user"
    MODEL = "model"
    PROJECT = "project"
    COMPUTE = "compute"


class Setting(_Value):
    """A parameter that the job gets; `instead_of` is what it would have been, and by whom."""

    name: str
    value: str | int | float
    origin: Origin
    instead_of: str = ""


class Machines(_Value):
    """Machines of one kind; `hourly` in dollars of all of them, None where no price is known."""

    size: str
    count: int
    gpus: int  # of one
    hourly: float | None


class Training(_Value):
    """Where it trains; `batch` is the effective one: rows between two updates of the weights."""

    cluster: str
    exists: bool | None  # None where nobody has looked
    machines: Machines
    batch: int


class Serving(_Value):
    """What serves; `endpoint` is None where its name follows from a job that is not known yet."""

    endpoint: str | None
    deployments: tuple[str, ...]
    machines: Machines
    image: str | None = None  # None where nobody has looked, empty where the model names none
    doubt: str = ""  # why it may not start


class Basis(StrEnum):
    """What an estimate rests on."""

    HISTORY = "history"
    RULE = "rule"


class Estimate(_Value):
    """How long the training takes and what it costs, within a factor of `error` either way."""

    hours: float
    dollars: float | None
    basis: Basis
    error: float
    rests_on: str  # the runs, or the numbers that the rule was given


class Judging(_Value):
    """What the judge would be asked at most: requests, and what the recipe allows it; None is no limit."""

    model: str
    requests: int
    tokens: int | None
    dollars: float | None

    @property
    def limits(self) -> str:
        tokens = f", {self.tokens:,} tokens" if self.tokens is not None else ""
        dollars = f", {self.dollars:g} dollars" if self.dollars is not None else ""
        return f"{self.requests:,} requests{tokens}{dollars} at most"


class Names(_Value):
    """What would be made, by name; None where it follows from what is not known yet."""

    experiment: str
    display_name: str
    job: str | None
    model: str
    endpoint: str | None


class Held(_Value):
    """A thing that the run would hold a lease of; `hours` from when it is made, None for ever."""

    what: str
    hours: float | None


class Problem(_Value):
    """What would make the run fail, and what to do about it."""

    what: str
    do: str


class Plan(_Value):
    """Everything that a run would do, found by reading alone.

    `quota` is None where it was not looked at, and empty where it may not be read.
    """

    recipe: str
    made: datetime
    offline: bool
    bills: bool
    workspace: str | None
    base_model: str
    component: str
    fingerprint: str | None
    steps: tuple[Step, ...]
    settings: tuple[Setting, ...]
    dropped: dict[str, str]  # parameter -> why
    data: Expected
    training: Training
    serving: Serving
    needs: tuple[Need, ...]
    quota: tuple[Room, ...] | None
    estimate: Estimate | None
    most: Most
    judge: Judging | None  # None where nobody judges
    names: Names
    leases: tuple[Held, ...]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def hourly(self) -> float | None:
        """Dollars an hour of what costs most at a time; None where a price is not known."""
        prices = (self.training.machines.hourly, self.serving.machines.hourly)
        return None if None in prices else max(price or 0.0 for price in prices)

    @property
    def must_be_asked(self) -> bool:
        """Whether somebody should say yes before it runs: it is billed, at a price or at an unknown one."""
        return self.bills and self.hourly != 0
