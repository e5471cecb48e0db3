"""dataset.json: where the data come from and what was done to them, as `prepare` wrote it."""

from typing import Literal

from stages.common.records import Record


class Column(Record):
    """column: its name in the user's file. categories: the first of them, n_categories: how many there are."""

    name: str
    kind: str
    description: str
    missing: int
    column: str | None = None
    categories: list[str] | None = None
    n_categories: int | None = None


class Split(Record):
    """counted_by: what test rows go together in; row where they come alone."""

    how: Literal["random", "day", "group", "time"]
    meaning: str
    is_grouped: bool
    counted_by: str


class Rows(Record):
    """known: with a known label; pool, test: of these."""

    known: int
    pool: int
    test: int


class Dropped(Record):
    reason: str
    rows: int


class LeftOut(Record):
    """A column that is not learned from."""

    column: str
    reason: str


class Dataset(Record):
    """sha256: by name of what was hashed; pool_class_rows: of each class. Of the labels only those of the pool are
    counted."""

    name: str
    title: str
    source: str
    licence: str
    sha256: dict[str, str]
    target: str
    classes: list[str]
    pool_class_rows: list[int]
    split: Split
    rows: Rows
    dropped: list[Dropped]
    columns: list[Column]
    left_out: list[LeftOut]
    warnings: list[str]
