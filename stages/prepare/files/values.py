"""What stands in the columns of a file just read: blanks, zones, words that are numbers or that mean missing."""

import math
import re
from collections.abc import Sequence

import duckdb

from stages.prepare.files.database import CODE, ZONE, quoted

BLANKS = "' ' || chr(9) || chr(160)"  # around words, in SQL


def settled(connection: duckdb.DuckDBPyConnection, names: Sequence[str], is_parquet: bool) -> list[str]:
    """Texts that are all numbers, dates or times become such: the blanks around one of them had made all of them words.

    Codes stay words: digits with a 0 in front and, in Parquet, whose writer may have meant them as words, digits of one
    length.
    """
    notes = []
    for name, (key, kind, *_) in zip(names, connection.execute("DESCRIBE rows").fetchall(), strict=True):
        if kind != "VARCHAR":
            continue
        casts = {of: f"count(TRY_CAST({key} AS {of}))" for of in ("BIGINT", "DOUBLE", "DATE", "TIMESTAMP")}
        casts["BIGINT"] += f" FILTER (regexp_matches({key}, '^[-+]?[0-9]+$'))"  # else 97.3 becomes 97
        counts = connection.execute(
            f"SELECT count({key}), count(*) FILTER (regexp_matches({key}, {quoted(CODE)})), "
            f"count(*) FILTER (regexp_matches({key}, '^[0-9]{{4,}}$')), min(length({key})) = max(length({key})), "
            f"count(*) FILTER (regexp_matches({key}, {quoted(ZONE)})), "
            f"count(*) FILTER (regexp_matches({key}, '[0-9]-[0-9]|[0-9]/[0-9]')), {', '.join(casts.values())} FROM rows"
        ).fetchone()
        assert counts is not None
        known, n_codes, n_digits, is_one_length, n_zoned, n_dates, *n_of = counts
        is_code = n_codes > 0 or (is_parquet and n_digits == known and is_one_length)
        wanted = [of for of, n in zip(casts, n_of, strict=True) if n == known and known]
        if not wanted or (wanted[0] in ("BIGINT", "DOUBLE") and is_code) or (
            wanted[0] in ("DATE", "TIMESTAMP") and n_dates < known
        ):  # fmt: skip
            continue
        as_kind = "DATE" if wanted[0] == "DATE" and n_of[2] == known and not _has_clock(connection, key) else wanted[0]
        if as_kind in ("DATE", "TIMESTAMP") and (n_zoned or _has_clock(connection, key)):
            as_kind = "TIMESTAMPTZ" if n_zoned else "TIMESTAMP"
        connection.execute(f"ALTER TABLE rows ALTER {key} TYPE {as_kind} USING CAST({key} AS {as_kind})")
        if is_parquet and as_kind in ("BIGINT", "DOUBLE"):
            notes.append(f"the column {name!r} is text that holds numbers; it is read as numbers")
    return notes


def _has_clock(connection: duckdb.DuckDBPyConnection, key: str) -> bool:
    row = connection.execute(f"SELECT 1 FROM rows WHERE {key} LIKE '%:%' LIMIT 1").fetchone()
    return row is not None


def with_zones_in_utc(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
    """Times with a zone become times without one, in UTC; what is not a number becomes a missing value."""
    notes, floats = [], []
    for name, (key, kind, *_) in zip(names, connection.execute("DESCRIBE rows").fetchall(), strict=True):
        if kind == "TIMESTAMP WITH TIME ZONE":
            utc = f"make_timestamp(epoch_us({key}))"
            connection.execute(f"ALTER TABLE rows ALTER {key} TYPE TIMESTAMP USING {utc}")
            notes.append(told_of_zone(name))
        if kind in ("FLOAT", "DOUBLE"):
            floats.append(key)
    counts = ", ".join(f"count(*) FILTER (isnan({key}))" for key in floats)
    n_of_each = connection.execute(f"SELECT {counts} FROM rows").fetchone() if floats else ()
    for key in (key for key, n in zip(floats, n_of_each or (), strict=True) if n):
        connection.execute(f"UPDATE rows SET {key} = NULL WHERE isnan({key})")
    return notes


def told_of_zone(name: str) -> str:
    what = f"the times of {name!r} have a zone: weekday, month and hour are those of UTC"
    return f"{what}, as which one without a zone is read; if the place's matter, write times without a zone"


def trimmed(connection: duckdb.DuckDBPyConnection, names: Sequence[str], missing: Sequence[str]) -> list[str]:
    """Takes off the blanks around words; where that makes values one, a note."""
    notes = []
    for name, (key, kind, *_) in zip(names, connection.execute("DESCRIBE rows").fetchall(), strict=True):
        if kind != "VARCHAR":
            continue
        n_distinct = connection.execute(
            f"SELECT count(DISTINCT {key}), count(DISTINCT trim({key}, {BLANKS})) FROM rows WHERE {key} IS NOT NULL"
        ).fetchone()
        has_blanks = connection.execute(f"SELECT 1 FROM rows WHERE {key} <> trim({key}, {BLANKS}) LIMIT 1").fetchone()
        if has_blanks and n_distinct:
            words = ", ".join(map(quoted, missing))
            value = f"CASE WHEN trim({key}, {BLANKS}) IN ({words}) THEN NULL ELSE trim({key}, {BLANKS}) END"
            connection.execute(f"UPDATE rows SET {key} = {value} WHERE {key} <> trim({key}, {BLANKS})")
            if n_distinct[1] < n_distinct[0]:
                what = (
                    f"has values that differ by blanks around them alone: {n_distinct[0]}, without them {n_distinct[1]}"
                )
                notes.append(f"the column {name!r} {what}; they are taken for one")
    return notes


def without(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], missing: Sequence[str | int | float]
) -> list[str]:
    """Numbers that stand for a missing value become one; words did so as they were read."""
    numbers = [float(value) for value in missing if _is_number(value)]
    for _, (key, kind, *_) in zip(names, connection.execute("DESCRIBE rows").fetchall(), strict=True):
        if numbers and re.match(r"U?(TINY|SMALL|BIG|HUGE)?INT|FLOAT|DOUBLE|DECIMAL", kind):
            listed = ", ".join(map(repr, numbers))
            connection.execute(f"UPDATE rows SET {key} = NULL WHERE CAST({key} AS DOUBLE) IN ({listed})")
        if missing and kind.startswith(("DATE", "TIMESTAMP")):
            words = ", ".join(quoted(str(value)) for value in missing)
            connection.execute(f"UPDATE rows SET {key} = NULL WHERE CAST({key} AS VARCHAR) IN ({words})")
    return [f"{', '.join(map(str, missing))} counts as missing in every column (dataset.missing)"] if missing else []


def _is_number(value: str | int | float) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
