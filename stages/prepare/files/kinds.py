"""What the columns of a user's table are: numbers, dates, categories, or nothing to learn from."""

import re
from typing import Any

import pandas as pd

from stages.common.errors import InputError
from stages.contract.dataset import LeftOut
from stages.prepare.files.database import CODE, DATES, NUMBERS, ZONE, Column, Rows, quoted
from stages.prepare.files.questions import (
    LEAST_NUMBERS,
    MOST_WORDS,
    is_mostly_numeric,
    oddities,
    sentinels,
    thousands,
    written_otherwise,
)
from stages.prepare.files.values import told_of_zone

LARGEST = 3e38  # number that 32 bits hold
ID_NAME = re.compile(
    r"(^|[^a-z])(id|uuid|guid|index|key)$|[a-z]Id$|^unnamed: ?\d+$|^row_?(name|label|number)s?$", re.IGNORECASE
)
ROW_LABELS = re.compile(r"__index_level_\d+__")  # as pandas calls a frame's labels in Parquet
LIMIT = r"^(?:[<>≤≥]=?\s*([-+]?\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*\+)$"  # <0.05, >= 3, 1000+


def learnable(rows: Rows, special: set[str], target: str) -> tuple[list[Column], list[LeftOut], list[str]]:
    """The columns to learn from, those left out and why, and what the user should look at."""
    columns, left_out, warnings = [], [], []
    for i, name in enumerate(rows.names):
        key = f"c{i}"
        if key in special:
            continue
        if ROW_LABELS.fullmatch(name):
            left_out.append(LeftOut(column=name, reason="row labels that pandas wrote beside the data"))
            continue
        notes = _with_words_among_them(rows, key, name) if rows.type(key) == "VARCHAR" else []
        warnings += notes
        kind = rows.type(key)
        known, low, high = rows.one(f"SELECT count({key}), min({key}), max({key}) FROM rows")
        _refuse_infinities(rows, key, name, kind)
        if known == 0 or (low == high and known == rows.n_rows):
            left_out.append(LeftOut(column=name, reason="constant" if known else "empty"))
        elif kind == "VARCHAR" and (what := written_otherwise(rows, key, known)):
            raise InputError(f"{rows.path}: the column {name!r} holds {what}, or drop the column")
        elif _is_id(rows, key, name, kind, known, low, high):
            left_out.append(LeftOut(column=name, reason="every row has its own value, so it looks like an id"))
        else:
            columns.append(Column(key, name, kind, _kind(kind), rows.n_rows - known, _origin(kind, low, high)))
            warnings += oddities(rows, columns[-1], known) + thousands(rows, columns[-1])
            warnings += [] if notes else sentinels(rows, columns[-1])
    if not columns:
        raise InputError(f"{rows.path} has no column to learn from besides {target!r}; see to its columns")
    return columns, left_out, warnings


def _kind(type_name: str) -> str:
    if type_name.startswith(NUMBERS):
        return "numeric"
    if type_name.startswith(DATES):
        return "date" if type_name == "DATE" else "timestamp"
    return "categorical"


def _origin(kind: str, low: Any, high: Any) -> float | int:
    if kind.startswith(DATES):
        return float(pd.Timestamp(low).timestamp())
    if kind.startswith(NUMBERS) and max(abs(low), abs(high)) > 100 * (high - low):
        return int(low) if kind.endswith("INT") or kind.endswith("INTEGER") else float(low)
    return 0.0


def _with_words_among_them(rows: Rows, key: str, name: str) -> list[str]:
    """Numbers, or dates, among which stand one or two words become such, the words missing; a note says so.

    A value that names a limit, as <0.05 or 1000+, becomes the limit.
    """
    limit = f"TRY_CAST(coalesce(nullif(regexp_extract({key}, {quoted(LIMIT)}, 1), ''), "
    limit += f"nullif(regexp_extract({key}, {quoted(LIMIT)}, 2), '')) AS DOUBLE)"
    numbers = f"coalesce(TRY_CAST({key} AS DOUBLE), {limit})"
    is_coded = rows.where(f"regexp_matches({key}, {quoted(CODE)})")[0] > 0
    n_zoned = rows.where(f"regexp_matches({key}, {quoted(ZONE)})")[0]
    time = f"make_timestamp(epoch_us(TRY_CAST({key} AS TIMESTAMPTZ)))" if n_zoned else f"TRY_CAST({key} AS TIMESTAMP)"
    for kind, value, plain in (
        ("DOUBLE", numbers, f"TRY_CAST({key} AS DOUBLE)"),
        ("TIMESTAMP", time, time),
    ):
        if kind == "DOUBLE" and is_coded:
            continue
        if rows.one(f"SELECT count(DISTINCT {plain}) FROM rows")[0] < LEAST_NUMBERS:
            continue
        words = _counted(rows, key, f"{key} IS NOT NULL AND {value} IS NULL", MOST_WORDS + 1)
        limits = _counted(rows, key, f"{plain} IS NULL AND {value} IS NOT NULL", 3)
        if len(words) > MOST_WORDS or not (words or limits):  # numbers alone, written as words: codes
            continue
        what = [f"{word!r} in {n} rows counts as missing" for word, n in words]
        what += [f"{word!r} in {n} rows counts as its number" for word, n in limits]
        rows.retype(key, kind, value)
        zone = [told_of_zone(name)] if kind == "TIMESTAMP" and n_zoned else []
        return [
            f"the column {name!r} is read as {'numbers' if kind == 'DOUBLE' else 'dates'}: {'; '.join(what)}",
            *zone,
        ]
    return []


def _counted(rows: Rows, key: str, condition: str, n_most: int) -> list[tuple[str, int]]:
    """The most frequent values of the rows that meet the condition, and how many have each."""
    query = f"SELECT {key}, count(*) AS n FROM rows WHERE {condition} GROUP BY 1 ORDER BY n DESC, 1 LIMIT {n_most}"
    return [(str(value), int(n)) for value, n in rows.connection.execute(query).fetchall()]


def _refuse_infinities(rows: Rows, key: str, name: str, kind: str) -> None:
    value = f"TRY_CAST({key} AS DOUBLE)"
    if kind.startswith(("FLOAT", "DOUBLE", "VARCHAR")) and is_mostly_numeric(rows, key, kind):
        n, first = rows.where(f"abs({value}) > {LARGEST}")
        if n:
            what = f"is infinite or beyond {LARGEST:g} in {n} rows (first: {first})"
            raise InputError(f"{rows.path}: the column {name!r} {what}; mend it")


def _is_id(rows: Rows, key: str, name: str, kind: str, known: int, low: Any, high: Any) -> bool:
    """A text, or a whole number that counts or is called an id, of which no two rows have the same."""
    if known < rows.n_rows or kind.startswith(("FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", *DATES)):
        return False
    if kind.startswith(NUMBERS) and not (ID_NAME.search(name) or high - low < 1.1 * rows.n_rows):
        return False
    return bool(rows.one(f"SELECT count(DISTINCT {key}) FROM rows")[0] == rows.n_rows)


def expressions(column: Column) -> list[tuple[str, str, str]]:
    """Name, kind and SQL of what a column becomes: a date is days since the first, a month and a weekday."""
    key, name = column.key, column.name
    if column.kind == "numeric":
        wide = "HUGEINT" if isinstance(column.origin, int) else "DOUBLE"  # 64 bits of a whole number are more than 53
        return [(name, "numeric", f"CAST({key} AS {wide}) - {column.origin!r}" if column.origin else key)]
    if column.kind == "categorical":
        return [(name, "categorical", f"CAST({key} AS VARCHAR)")]
    parts = [
        (f"{name} (days)", "numeric", f"(epoch({key}) - {column.origin!r}) / 86400"),
        (f"{name} (month)", "categorical", f"CAST(month({key}) AS VARCHAR)"),
        (f"{name} (weekday)", "categorical", f"CAST(isodow({key}) AS VARCHAR)"),
    ]
    hour = (f"{name} (hour)", "numeric", f"hour({key}) + minute({key}) / 60 + second({key}) / 3600")
    return [*parts, hour] if column.kind == "timestamp" else parts
