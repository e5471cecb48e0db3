"""The `scale` and `subsample` sections."""

from typing import Literal

from pydantic import Field, field_validator

from stages.common.params import Section

MIN_SIZE = 32


class Replicates(Section):
    """What `subsample` reads of `scale`."""

    n_replicates: int = Field(ge=3)


class Sizes(Section):
    """What `subsample` reads of `grid`."""

    sizes: list[int] = Field(min_length=1)


class Scale(Replicates):
    """The whole `scale` section."""

    name: Literal["smoke", "quick", "full"]
    sizes: list[int] = Field(min_length=1)
    n_settings: int = Field(ge=1)
    tuning_rows: int = Field(ge=64)

    @field_validator("sizes")
    @classmethod
    def _ascend(cls, sizes: list[int]) -> list[int]:
        if sizes != sorted(set(sizes)) or sizes[0] < MIN_SIZE:
            raise ValueError(f"sizes must ascend without repeats from {MIN_SIZE} or more")
        return sizes


class Subsample(Section):
    """The `subsample` section."""

    seed: int = Field(ge=0)
