"""The `evaluate` and `advice` sections, and what `evaluate` reads of `dataset`."""

from typing import Annotated

from pydantic import Field, field_validator

from stages.common.params import Section
from stages.evaluate.metrics import METRICS

Pairs = list[Annotated[list[str], Field(min_length=2, max_length=2)]]


class ClaimsAsked(Section):
    """Which learners the statements are about, and the limits they are tested against; what is None is found in the
    cells."""

    alpha: float = Field(gt=0, lt=0.5)
    simple: str = Field(min_length=1)
    networks: list[str] | None
    settled_tau: float = Field(gt=-1, le=1)
    engineered: Pairs | None


class Claims(ClaimsAsked):
    """With all of them named. left_out: networks of another recipe."""

    networks: list[str]
    engineered: Pairs
    left_out: list[str] = Field(default_factory=list)


class Evaluate(Section):
    """The whole section."""

    confidence: float = Field(gt=0.5, lt=1)
    n_resamples: int = Field(ge=200)
    seed: int = Field(ge=0)
    smallest_gain: float | None = Field(gt=0)
    smallest_share: float = Field(gt=0, lt=1)
    claims: ClaimsAsked


class Advice(Section):
    """The whole section."""

    certainty: float = Field(gt=0.5, lt=1)
    target: float | None
    cost_per_label: float | None = Field(ge=0)
    cost_per_hour: float | None = Field(ge=0)


class AdviceRules(Advice):
    """With the smallest gain worth having, in units of the metric."""

    min_gain: float = Field(ge=0)


class OfPicture(Section):
    """What `evaluate` reads of `dataset`: the metric of the picture."""

    metric: str

    @field_validator("metric")
    @classmethod
    def _is_one(cls, metric: str) -> str:
        names = [name for name, known in METRICS.items() if known.is_of_picture]
        if metric not in names:
            raise ValueError(f"{metric!r} is none of {', '.join(names)}")
        return metric
