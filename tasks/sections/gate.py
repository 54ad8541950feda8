"""What a tuned model must reach before it is promoted: the section of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.gate.rule import Rule


class Gate(BaseModel):
    """Rules that a model must keep to be deployed and promoted."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Gate")

    rules: tuple[str, ...] = Field(
        (),
        description="Such as `eval_loss <= 1.8`, `eval_loss <= incumbent * 1.02`, `win_rate >= 0.55` or "
        "`empty_answers == 0`. Those that need no endpoint are looked at before anything is deployed.",
    )
    otherwise: Literal["candidate", "fail"] = Field(
        "candidate",
        title="Not passed",
        description="`candidate` registers the model with the reason, and the run completes; `fail` fails it "
        "as well.",
    )

    @field_validator("rules")
    @classmethod
    def _readable(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            Rule.parse(rule)
        return rules

    @property
    def parsed(self) -> tuple[Rule, ...]:
        return tuple(map(Rule.parse, self.rules))
