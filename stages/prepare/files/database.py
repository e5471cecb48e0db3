"""A file's rows as a table of DuckDB."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from stages.common.errors import InputError, nearest

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip
DATES = ("DATE", "TIMESTAMP")
CODE = "^0[0-9]"  # digits that are no number
ZONE = r"\d:\d\d.*(?:[+-]\d\d(?::?\d\d)?|Z)$"


@dataclass(frozen=True)
class Rows:
    """The file's rows in the database, as table `rows` with columns c0, c1, ..."""

    connection: duckdb.DuckDBPyConnection
    path: Path
    names: list[str]
    types: list[str]
    n_rows: int
    notes: list[str]  # what was read in a way that a person may not expect

    def key(self, name: str, role: str) -> str:
        """Raises InputError naming the nearest column where there is no such column."""
        name = name.strip()
        if name not in self.names:
            remedy = nearest(name, self.names) or f"; the columns: {', '.join(map(repr, self.names[:8]))}"
            raise InputError(f"dataset.{role}={name!r} is no column of {self.path}{remedy}")
        return f"c{self.names.index(name)}"

    def type(self, key: str) -> str:
        return self.types[int(key[1:])]

    def one(self, query: str) -> tuple[Any, ...]:
        found = self.connection.execute(query).fetchone()
        assert found is not None
        return found

    def where(self, condition: str) -> tuple[int, str]:
        """How many rows meet the condition, and the numbers of the first three, counted from 1."""
        first = self.values(f"SELECT rowid + 1 FROM rows WHERE {condition} ORDER BY rowid LIMIT 3")
        return self.one(f"SELECT count(*) FROM rows WHERE {condition}")[0], ", ".join(map(str, first))

    def retype(self, key: str, kind: str, expression: str) -> None:
        """Gives a column another type, its values by this SQL."""
        self.connection.execute(f"ALTER TABLE rows ALTER {key} TYPE {kind} USING {expression}")
        self.types[int(key[1:])] = kind

    def only(self, condition: str) -> "Rows":
        """The rows that meet the condition, in their order; the others are gone."""
        self.connection.execute(f"CREATE TABLE kept AS SELECT * FROM rows WHERE {condition} ORDER BY rowid")
        self.connection.execute("DROP TABLE rows")
        self.connection.execute("ALTER TABLE kept RENAME TO rows")
        return replace(self, n_rows=self.one("SELECT count(*) FROM rows")[0])

    def chunks(self, expressions: Sequence[str], n_at_once: int) -> Iterator[tuple[int, list[Any]]]:
        """The first row's number and the values of each expression, masked where missing; some rows at a time."""
        listed = ", ".join(f"{expression} AS v{i}" for i, expression in enumerate(expressions))
        for start in range(0, self.n_rows, n_at_once):
            query = f"SELECT {listed} FROM rows WHERE rowid >= {start} AND rowid < {start + n_at_once} ORDER BY rowid"
            chunk = self.connection.execute(query).fetchnumpy()
            yield start, [chunk[f"v{i}"] for i in range(len(expressions))]

    def values(self, query: str) -> list[Any]:
        return [row[0] for row in self.connection.execute(query).fetchall()]


@dataclass(frozen=True)
class Column:
    """A column of the file: `key` is its name in the database, `kind` what becomes of it."""

    key: str
    name: str
    type: str
    kind: str  # numeric | categorical | date | timestamp
    missing: int
    origin: float | int  # taken off a number or a time (in seconds), so that 32 bits tell its values apart


def literal(path: Path) -> str:
    """The path for DuckDB, which takes * ? [ for patterns."""
    return quoted(re.sub(r"([*?\[])", r"[\1]", str(path)))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
