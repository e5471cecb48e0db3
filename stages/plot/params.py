"""The `plot` section."""

from typing import Annotated

from pydantic import Field

from stages.common.params import Section

COLOR = r"^#[0-9a-fA-F]{6}$"


class Style(Section):
    label: str = Field(min_length=1)
    color: str = Field(pattern=COLOR)


class Plot(Section):
    """The whole section."""

    style: dict[str, Style]
    cycle: list[Annotated[str, Field(pattern=COLOR)]] = Field(min_length=1)
    width: float = Field(gt=2, le=40)
    height: float = Field(gt=2, le=40)
