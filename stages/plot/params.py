"""The `plot` section."""

from typing import Annotated, Literal

from pydantic import Field

from stages.common.params import Section

COLOR = r"^#[0-9a-f]{6}$"


class Composed(Section):
    """What `plot` reads of `compose`: the overrides of conf/ that make this study, and the digest of params.yaml, None
    where DVC composed it for an experiment."""

    overrides: list[str]
    sha256: str | None


class Plot(Section):
    """colors: of learners whose colour is not to follow from their kind and place."""

    language: Literal["en", "ko"]
    colors: dict[str, Annotated[str, Field(pattern=COLOR)]]
