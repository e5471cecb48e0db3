"""The target of a user's table: its classes, and the label of every row."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.prepare.files.database import DATES, NUMBERS, Rows, quoted

MIN_CLASS_ROWS, MOST_CLASSES = 10, 1000
MOST_NUMBERS = 100  # distinct whole numbers that may still be classes
ROWS_AT_ONCE = 500_000  # labels read at a time
RARE = "rare classes"  # what they are called where they are merged
RareClasses = Literal["refuse", "drop", "merge"]


def with_frequent_classes(rows: Rows, key: str, name: str, rare: RareClasses) -> tuple[Rows, dict[str, int], list[str]]:
    """The rows as `dataset.rare_classes` wants them, how many were dropped by reason, and a note.

    Classes with fewer than MIN_CLASS_ROWS rows are dropped, or are one class more; `classes_of` refuses them.
    """
    if rare == "refuse" or rows.one(f"SELECT count(DISTINCT {key}) FROM rows")[0] > MOST_CLASSES:
        return rows, {}, []
    query = f"SELECT CAST({key} AS VARCHAR), count(*) AS n FROM rows WHERE {key} IS NOT NULL GROUP BY 1"
    counts: Mapping[str, int] = dict(
        rows.connection.execute(f"{query} HAVING n < {MIN_CLASS_ROWS} ORDER BY 1").fetchall()
    )
    if not counts:
        return rows, {}, []
    n, listed = sum(counts.values()), ", ".join(map(quoted, counts))
    are_rare, names = f"CAST({key} AS VARCHAR) IN ({listed})", ", ".join(map(repr, list(counts)[:8]))
    what = f"{len(counts)} classes of {name!r} with fewer than {MIN_CLASS_ROWS} rows ({names})"
    if rare == "drop":
        kept = rows.only(f"{key} IS NULL OR NOT {are_rare}")
        return kept, {f"of a class with fewer than {MIN_CLASS_ROWS} rows": n}, [f"{n} rows of {what} are dropped"]
    if n < MIN_CLASS_ROWS:
        raise InputError(
            f"{rows.path}: {what} have {n} rows together, too few to be merged; set dataset.rare_classes=drop"
        )
    merged = RARE
    while rows.one(f"SELECT count(*) FROM rows WHERE CAST({key} AS VARCHAR) = {quoted(merged)}")[0]:
        merged += ", merged"
    rows.retype(key, "VARCHAR", f"CASE WHEN {are_rare} THEN {quoted(merged)} ELSE CAST({key} AS VARCHAR) END")
    return rows, {}, [f"{n} rows of {what} are one class, {merged!r}"]


def told_of_case(classes: pd.Index, name: str) -> list[str]:
    """A warning where classes differ by upper and lower case alone."""
    words = [str(value) for value in classes]
    alike = [word for word in words if sum(word.lower() == other.lower() for other in words) > 1]
    if not alike:
        return []
    return [f"the classes {', '.join(map(repr, alike[:4]))} of {name!r} differ by case alone; are they one?"]


def classes_of(rows: Rows, key: str, name: str) -> pd.Index:
    """The values of the target in order; raises InputError where they are no classes to learn."""
    where, kind = f"the target {name!r} of {rows.path}", rows.type(key)
    n_missing, first = rows.where(f"{key} IS NULL")
    if n_missing:
        words = "nothing, NA, N/A, NaN, null and None count as missing"
        raise InputError(f"{where} is missing in {n_missing} rows (first: {first}); drop or fill these rows ({words})")
    if kind.startswith(DATES):
        raise InputError(f"{where} is a {kind.lower()}; a target has classes")
    counts = rows.connection.execute(f"SELECT {key}, count(*) FROM rows GROUP BY 1 ORDER BY 1 LIMIT 2000").fetchall()
    n_distinct = len(counts) if len(counts) < 2000 else rows.one(f"SELECT count(DISTINCT {key}) FROM rows")[0]
    if kind.startswith(NUMBERS) and (odd := [value for value, _ in counts if not abs(value) < 2**53]):
        raise InputError(f"{where} holds {odd[0]}, too large a number for a class; write classes as words")
    is_fraction = kind.startswith(("FLOAT", "DOUBLE", "DECIMAL")) and any(value != int(value) for value, _ in counts)
    if is_fraction or (kind.startswith(NUMBERS) and n_distinct > MOST_NUMBERS):
        raise InputError(f"{where} is a number with {n_distinct} distinct values; only classes can be learned: bin it")
    if n_distinct < 2:
        raise InputError(f"{where} has one class only ({counts[0][0]!r}); at least two are needed")
    if n_distinct > MOST_CLASSES:
        raise InputError(f"{where} has {n_distinct} classes, more than {MOST_CLASSES}; is it the target?")
    rarest, n_rarest = min(counts, key=lambda pair: pair[1])
    if n_rarest < MIN_CLASS_ROWS:
        remedy = "merge or drop the class, as dataset.rare_classes=merge or =drop does"
        needed = f"at least {MIN_CLASS_ROWS} are needed to split them; {remedy}"
        raise InputError(f"{where}: class {str(rarest)!r} has {n_rarest} rows; {needed}")
    return pd.Index([value for value, _ in counts], dtype=np.int64 if kind.startswith(NUMBERS) else object)


def labels_of(rows: Rows, key: str, classes: pd.Index) -> NDArray[np.int64]:
    """Of every row the place of its class: (n_rows,)."""
    labels = np.empty(rows.n_rows, np.int64)
    for start, chunk in rows.chunks([key], ROWS_AT_ONCE):
        labels[start : start + len(chunk[0])] = classes.get_indexer(np.asarray(chunk[0]))
    return labels
