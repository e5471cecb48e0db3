"""The `subsample` section, and what `subsample` reads of `scale`."""

from pydantic import Field

from stages.common.params import Section


class Subsample(Section):
    """The whole section."""

    seed: int = Field(ge=0)


class Replicates(Section):
    """What `subsample` reads of `scale`."""

    n_replicates: int = Field(ge=3)
    variance_size: int | None = Field(ge=1)
    n_crossed: int = Field(ge=3)
    tuning_rows: int = Field(ge=64)


class Sizes(Section):
    """What `subsample` reads of `grid`."""

    sizes: list[int] = Field(min_length=1)
