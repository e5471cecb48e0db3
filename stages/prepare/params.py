"""The `dataset` section."""

from typing import Any, Literal

from pydantic import Field, field_validator

from stages.common.params import Section

ScaleName = Literal["smoke", "quick", "full"]


class Asked(Section):
    """What a study of the user's own files is made from, as far as a person has said it."""

    path: str | None
    id: int | None = Field(ge=1)
    side: int | None = Field(ge=4, le=256)
    target: str | None
    group: str | None
    time: str | None
    missing: list[str | int | float]
    rare_classes: Literal["refuse", "drop", "merge"]
    repeats: Literal["auto", "drop", "keep"]
    split: Literal["random", "day", "group", "time"] | None
    seed: int = Field(ge=0)
    n_test: int | None = Field(ge=16)

    @field_validator("missing", mode="before")
    @classmethod
    def _may_be_one(cls, missing: Any) -> Any:
        return missing if isinstance(missing, list) else [missing]


class Source(Asked):
    """What `prepare` reads: which data, and how the test rows are chosen."""

    name: str  # a module of stages/prepare/sources
    path: str  # of the user's file, or of the module that finds the data
    split: Literal["random", "day", "group", "time"]
    n_rows: int = Field(ge=1)
    n_test: int = Field(ge=16)
    n_pool: int | None = Field(default=None, ge=1)


class Dataset(Source):
    """The whole section."""

    allow_outside: bool
    network_features: Literal["raw", "engineered"]
    batch_size: int = Field(ge=1)
    min_steps: int = Field(ge=1)
    metric: str  # one of evaluate's, which says which there are
    sizes: dict[ScaleName, list[int]]
    variance_size: dict[ScaleName, int | None]

    @field_validator("sizes", "variance_size")
    @classmethod
    def _names_every_scale(cls, by_scale: dict[str, Any]) -> dict[str, Any]:
        if missing := {"smoke", "quick", "full"} - set(by_scale):
            raise ValueError(f"an entry for each of smoke, quick, full; missing: {', '.join(sorted(missing))}")
        return by_scale
