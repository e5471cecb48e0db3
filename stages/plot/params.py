"""The `plot` section."""

from typing import Annotated, Literal

from pydantic import Field

from stages.common.params import Section

COLOR = r"^#[0-9a-f]{6}$"


class Plot(Section):
    """colors: of learners whose colour is not to follow from their kind and place."""

    language: Literal["en", "ko"]
    colors: dict[str, Annotated[str, Field(pattern=COLOR)]]
