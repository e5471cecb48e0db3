"""The `evaluate` and `advice` sections, and what `evaluate` reads of `dataset`."""

from typing import Annotated, Literal

from pydantic import Field

from stages.common.params import Section


class Claims(Section):
    """Which learners the statements are about, and the limits they are tested against."""

    alpha: float = Field(gt=0, lt=0.5)
    simple: str = Field(min_length=1)
    networks: list[str]
    settled_tau: float = Field(gt=-1, le=1)
    engineered: list[Annotated[list[str], Field(min_length=2, max_length=2)]]


class Evaluate(Section):
    """The whole section."""

    confidence: float = Field(gt=0.5, lt=1)
    n_resamples: int = Field(ge=200)
    seed: int = Field(ge=0)
    smallest_gain: float | None = Field(gt=0)
    smallest_share: float = Field(gt=0, lt=1)
    claims: Claims


class Advice(Section):
    """The whole section."""

    certainty: float = Field(gt=0.5, lt=1)
    target: float | None
    cost_per_label: float | None = Field(ge=0)
    cost_per_hour: float | None = Field(ge=0)


class AdviceRules(Advice):
    """With the smallest gain worth having, in units of the metric."""

    min_gain: float = Field(ge=0)


class Metric(Section):
    """The metric of the picture."""

    metric: Literal["roc_auc", "accuracy", "error", "log_loss", "brier"]
