"""The `evaluate` section, and what `evaluate` reads of `dataset`."""

from typing import Literal

from pydantic import Field

from stages.common.params import Section


class Evaluate(Section):
    """The whole section."""

    confidence: float = Field(gt=0.5, lt=1)


class Metric(Section):
    """The metric of the picture."""

    metric: Literal["roc_auc", "accuracy", "error", "log_loss"]
