"""The `train` section, the `learners` section, and what `train` reads of `scale`."""

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel, field_validator

from stages.common.params import Section

LEARNER_NAME = r"^[a-z][a-z0-9_]*$"  # names go into stage names, where other signs collide or fail


PACKAGES = {  # of estimators and boosters, by the name they are imported under: their name on PyPI
    "sklearn": "scikit-learn",
    "lightgbm": "lightgbm",
    "xgboost": "xgboost-cpu",
    "catboost": "catboost",
}
FeatureSet = Literal["raw", "engineered"]
Precision = Literal["auto", "32-true", "bf16-mixed"]  # auto: float32 on a CPU, bfloat16 on a GPU that multiplies it


class Train(Section):
    """What all learners share.

    timeout_seconds is no key that a cell depends on, as it changes no result that a fit within it has: raising it
    retrains nothing. precision is what networks take over into their own sections, where their cells depend on it.
    """

    seed: int = Field(ge=0)
    threads: int = Field(ge=1, le=256)
    validation_share: float = Field(gt=0, lt=1)
    validation_rows: int = Field(ge=16)
    timeout_seconds: int = Field(default=3600, ge=1)
    precision: Precision = "auto"


class Tuning(Section):
    """What `train` reads of `scale`."""

    n_settings: int = Field(ge=1)
    tuning_rows: int = Field(ge=64)


class Sizes(Section):
    """What `tune` reads of `grid`."""

    sizes: list[int] = Field(min_length=1)


class LogisticRegressionSetting(Section):
    C: float = Field(gt=0)


class LogisticRegression(Section):
    kind: Literal["logistic_regression"]
    features: FeatureSet
    solver: Literal["auto", "newton-cholesky", "lbfgs", "saga"]
    max_iter: int = Field(ge=1)
    settings: list[LogisticRegressionSetting] = Field(min_length=1)


class LibrarySetting(Section):
    """Arguments of an estimator or a library, whatever it takes."""

    model_config = ConfigDict(extra="allow")


class GradientBoosting(Section):
    """Arguments and settings are named as the library names them."""

    kind: Literal["gradient_boosting"]
    library: Literal["lightgbm", "xgboost", "catboost", "sklearn"]
    max_rounds: int = Field(ge=1)
    patience: int = Field(ge=1)
    arguments: dict[str, Any]
    settings: list[LibrarySetting] = Field(min_length=1)


class Estimator(Section):
    """Any classifier with scikit-learn's interface; random_state and n_jobs are given where it takes them."""

    kind: Literal["estimator"]
    estimator: str  # import path
    features: FeatureSet
    arguments: dict[str, Any]
    settings: list[LibrarySetting] = Field(min_length=1)

    @field_validator("estimator")
    @classmethod
    def _comes_from_an_allowed_package(cls, path: str) -> str:
        if not re.fullmatch(rf"({'|'.join(PACKAGES)})(\.[A-Za-z_][A-Za-z0-9_]*)+", path):
            raise ValueError(f"only classes of {', '.join(PACKAGES)} may be loaded: importing runs a package's code")
        return path


class NetworkSetting(Section):
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    dropout: float = Field(ge=0, lt=1)
    label_smoothing: float = Field(ge=0, lt=1)
    wave_deviation: float = Field(gt=0)


class Network(Section):
    kind: Literal["network"]
    features: FeatureSet
    precision: Precision = "auto"
    units: int = Field(ge=1)
    layers: int = Field(ge=1)
    frequencies: int = Field(ge=0)
    dimensions: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    min_steps: int = Field(ge=1)
    warmup: float = Field(ge=0, lt=1)
    patience: int = Field(ge=1)
    settings: list[NetworkSetting] = Field(min_length=1)


Kind = LogisticRegression | GradientBoosting | Estimator | Network
Setting = LogisticRegressionSetting | LibrarySetting | NetworkSetting


class Learner(RootModel[Annotated[Kind, Field(discriminator="kind")]]):
    """One learner; its `kind` says which keys it has."""
