"""How the tuned model is evaluated: the section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Judge(BaseModel):
    """A model that says which of two answers is better, behind any OpenAI-compatible chat endpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Judge")

    url: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="The address before `/chat/completions`, such as https://api.openai.com/v1; nobody "
        "judges if empty.",
    )
    model: str = Field(
        "gpt-4o-mini", min_length=1, description="The judge's name there. Whoever runs it bills it."
    )
    key_variable: str | None = Field(
        None, description="The environment variable that holds the key; none is sent if empty."
    )
    budget_requests: int | None = Field(
        None, ge=2, title="Requests at most", description="Pairs beyond are not judged; each takes two."
    )
    budget_tokens: int | None = Field(
        None, ge=1, title="Tokens at most", description="Of questions and verdicts together."
    )
    budget_usd: float | None = Field(
        None, gt=0, title="Budget", description="Dollars at most, by the two prices below."
    )
    input_price: float | None = Field(
        None, ge=0, description="Dollars for a million tokens of questions, as its provider states it."
    )
    output_price: float | None = Field(None, ge=0, description="The same for a million tokens of verdicts.")

    @property
    def is_priced(self) -> bool:
        return self.input_price is not None and self.output_price is not None

    def dollars(self, asked: int, said: int) -> float | None:
        """The price of so many tokens of questions and of verdicts; None where it is not stated."""
        if self.input_price is None or self.output_price is None:
            return None
        return (asked * self.input_price + said * self.output_price) / 1e6

    @model_validator(mode="after")
    def _budget_can_be_kept(self) -> Judge:
        if self.budget_usd is not None and not self.is_priced:
            raise ValueError("budget_usd needs input_price and output_price, or it could not be kept")
        return self


class Evaluation(BaseModel):
    """Questions of the test split, which nothing was trained on, and what compares the answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Evaluation")

    prompts: int = Field(
        8,
        ge=0,
        le=1000,
        description="Conversations of the test split to be answered; 0 asks none. The deployment is billed "
        "meanwhile.",
    )
    seed: int = Field(0, description="Which conversations, and the draws of the confidence interval.")
    max_new_tokens: int = Field(200, ge=1, description="The longest answer; the likeliest token each time.")
    at_once: int = Field(
        1,
        ge=1,
        le=64,
        title="Questions at once",
        description="Questions that a machine is asked at a time; Azure's containers answer one by one.",
    )
    judge: Judge = Field(Judge(), title="Judge")
