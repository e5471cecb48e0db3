"""The `dataset` section."""

from typing import Literal

from pydantic import Field, field_validator

from stages.common.params import Section


class Source(Section):
    """What `prepare` reads: which data, and how the test rows are chosen."""

    name: Literal["flights", "digits"]
    split: Literal["random", "day"]
    seed: int = Field(ge=0)
    n_rows: int = Field(ge=1)
    n_test: int = Field(ge=16)


class Dataset(Source):
    """The whole section."""

    metric: Literal["roc_auc", "accuracy", "error", "log_loss"]
    sizes: dict[Literal["smoke", "quick", "full"], list[int]]

    @field_validator("sizes")
    @classmethod
    def _names_every_scale(cls, sizes: dict[str, list[int]]) -> dict[str, list[int]]:
        if missing := {"smoke", "quick", "full"} - set(sizes):
            raise ValueError(f"a list for each of smoke, quick, full is needed; missing: {', '.join(sorted(missing))}")
        return sizes
