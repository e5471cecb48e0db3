"""The `subsample` section, and what `subsample` reads of `scale`."""

from pydantic import Field, model_validator

from stages.common.params import Section


class Subsample(Section):
    """The whole section."""

    seed: int = Field(ge=0)


class ByRows(Section):
    """How many draws a size has: more where they are cheap, by its own n alone, so that no other size changes it."""

    least: int = Field(ge=3)
    most: int = Field(ge=3)
    rows: int = Field(ge=1)

    def of(self, n_train: int) -> int:
        return max(self.least, min(self.most, self.rows // n_train))

    @model_validator(mode="after")
    def _check(self) -> "ByRows":
        if self.most < self.least:
            raise ValueError(f"most={self.most} is below least={self.least}")
        return self


class Replicates(Section):
    """What `subsample` reads of `scale`."""

    replicates: ByRows
    variance_size: int | None = Field(ge=1)
    n_crossed: int = Field(ge=3)
    tuning_rows: int = Field(ge=64)


class Sizes(Section):
    """What `subsample` reads of `grid`."""

    sizes: list[int] = Field(min_length=1)
