"""The `train` section, the `learners` section, and what `train` reads of `scale`."""

from typing import Annotated, Literal

from pydantic import Field, RootModel

from stages.common.params import Section

LEARNER_NAME = r"^[a-z][a-z0-9_]*$"  # names go into stage names, where other signs collide or fail


class Train(Section):
    """What all learners share."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1, le=256)
    validation_share: float = Field(gt=0, lt=1)
    validation_rows: int = Field(ge=16)
    timeout_seconds: int = Field(ge=1)


class Tuning(Section):
    """What `train` reads of `scale`."""

    n_settings: int = Field(ge=1)
    tuning_rows: int = Field(ge=64)


class LogisticRegressionSetting(Section):
    C: float = Field(gt=0)


class LogisticRegression(Section):
    kind: Literal["logistic_regression"]
    solver: Literal["newton-cholesky", "lbfgs"]
    max_iter: int = Field(ge=1)
    settings: list[LogisticRegressionSetting] = Field(min_length=1)


class GradientBoostingSetting(Section):
    learning_rate: float = Field(gt=0, le=1)
    max_leaf_nodes: int = Field(ge=2)
    l2_regularization: float = Field(ge=0)


class GradientBoosting(Section):
    kind: Literal["gradient_boosting"]
    max_iter: int = Field(ge=1)
    patience: int = Field(ge=1)
    settings: list[GradientBoostingSetting] = Field(min_length=1)


class NetworkSetting(Section):
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class Network(Section):
    kind: Literal["network"]
    units: int = Field(ge=1)
    layers: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    min_steps: int = Field(ge=1)
    warmup: float = Field(ge=0, lt=1)
    patience: int = Field(ge=1)
    settings: list[NetworkSetting] = Field(min_length=1)


Kind = LogisticRegression | GradientBoosting | Network
Setting = LogisticRegressionSetting | GradientBoostingSetting | NetworkSetting


class Learner(RootModel[Annotated[Kind, Field(discriminator="kind")]]):
    """One learner; its `kind` says which keys it has."""
