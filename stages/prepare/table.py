"""The user's own table: a CSV or Parquet file and the name of its target column.

The file's rows lie in a database on disk; features go from there, some rows at a time, into arrays that live on disk
too, so that a file larger than memory takes little more of it than a small one.
"""

import hashlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.common.artefacts import Features, Json
from stages.common.errors import InputError
from stages.prepare.params import Source
from stages.prepare.reading import Rows, opened, quoted
from stages.prepare.sizes import sizes_up_to, sure_to_stay, test_rows
from stages.prepare.tables import Table

MIN_CLASS_ROWS, MOST_CLASSES = 10, 1000
MOST_NUMBERS = 100  # distinct whole numbers that may still be classes
CELLS_AT_ONCE, ROWS_AT_ONCE = 5_000_000, 500_000  # values of features, rows of labels read at a time
LARGEST = 3e38  # number that 32 bits hold
MOST_CATEGORIES = 100_000  # of a column, the most frequent; all others are one more
MOST_LISTED = 1000  # categories named in the data card
ID_NAME = re.compile(r"(^|[^a-z])(id|uuid|guid|index|key)$|[a-z]Id$|^unnamed: ?\d+$", re.IGNORECASE)
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip
DATES = ("DATE", "TIMESTAMP")
DATE_FORMATS = [
    f"{day}{clock}"
    for day in ("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%d/%m/%y", "%m/%d/%Y", "%m/%d/%y", "%d-%m-%Y", "%d-%m-%y",
                "%b %d %Y", "%d %b %Y", "%d-%b-%Y", "%B %d, %Y", "%d %B %Y")
    for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
]  # fmt: skip
NO_TARGET = "dataset.target is missing; name the column to predict: dataset.target=y"


@dataclass(frozen=True)
class Column:
    """A column of the file: `key` is its name in the database, `kind` what becomes of it."""

    key: str
    name: str
    type: str
    kind: str  # numeric | categorical | date | timestamp
    missing: int
    origin: float | int  # taken off a number or a time (in seconds), so that 32 bits tell its values apart


def load(source: Source) -> Table:
    """The table with its kinds found and its features on disk; raises InputError for whatever is wrong with it."""
    if source.target is None:
        raise InputError(NO_TARGET)
    path = Path(source.path)
    with opened(path) as rows:
        target = rows.key(source.target, "target")
        special = {target} | {rows.key(name, role) for name, role in _roles(source)}
        classes = classes_of(rows, target, source.target)
        columns, left_out, warnings = learnable(rows, special, source.target)
        features, cards = encoded(rows, columns)
        return Table(
            title=f"{path.name}: {source.target}",
            source=f"the file {source.path}",
            licence="as the file's owner says",
            sha256={path.name: _sha256(path)},
            target=source.target,
            classes=[str(value) for value in classes],
            features=features,
            columns=cards,
            labels=labels_of(rows, target, classes),
            groups=_ranks(rows, rows.key(source.group, "group"), source.group) if source.group else None,
            times=_times(rows, rows.key(source.time, "time"), source.time) if source.time else None,
            dropped={},
            left_out=left_out
            + [{"column": name, "reason": f"names the rows' {role}"} for name, role in _roles(source)],
            warnings=warnings,
        )


def measure(
    path: str | None, target: str | None, group: str | None = None, time: str | None = None, n_test: int | None = None
) -> Json:
    """What a study of this file needs in numbers: n_rows, n_test, split, sizes and variance_size by scale.

    Raises InputError for a file that cannot be studied.
    """
    if path is None:
        raise InputError("dataset.path is missing; name a CSV or Parquet file: dataset.path=my.csv dataset.target=y")
    if target is None:
        raise InputError(NO_TARGET)
    if group and time:
        raise InputError(f"dataset.group={group!r} and dataset.time={time!r}: rows are split by one; drop the other")
    with opened(Path(path)) as rows:
        key = rows.key(target, "target")
        classes = classes_of(rows, key, target)
        named = {rows.key(name, role) for name, role in ((group, "group"), (time, "time")) if name}
        columns = learnable(rows, named | {key}, target)[0]
        n_test = test_rows(rows.n_rows) if n_test is None else n_test
        if time:
            n_pool = _earlier(rows, columns, rows.key(time, "time"), time, n_test)
        else:
            most = _largest(rows, rows.key(group, "group"), group, n_test) if group else 0
            n_pool = sure_to_stay(_copies(rows, columns), n_test + most)
    split = "group" if group else "time" if time else "random"
    return {"n_rows": rows.n_rows, "n_test": n_test, "split": split} | sizes_up_to(n_pool, len(classes), path)


def _copies(rows: Rows, columns: Sequence[Column]) -> dict[int, int]:
    """How many different rows stand m times, by m."""
    repeats = f"SELECT count(*) AS m FROM rows GROUP BY {_hashed(columns)}"
    return dict(rows.connection.execute(f"SELECT m, count(*) FROM ({repeats}) GROUP BY m ORDER BY m").fetchall())


def _hashed(columns: Sequence[Column]) -> str:
    """SQL that is the same for rows with the same features."""
    seen = ", ".join(
        f"CAST({sql} AS FLOAT)" if kind == "numeric" else sql for c in columns for _, kind, sql in _expressions(c)
    )
    return f"hash({seen})"


def _earlier(rows: Rows, columns: Sequence[Column], by: str, name: str, n_test: int) -> int:
    """How many rows lie before the test's and repeat none of them."""
    _check_time(rows, by, name)
    cut = f"(SELECT {by} FROM rows ORDER BY {by} DESC LIMIT 1 OFFSET {max(0, min(n_test, rows.n_rows) - 1)})"
    tested = f"SELECT {_hashed(columns)} FROM rows WHERE {by} >= {cut}"
    return int(rows.one(f"SELECT count(*) FROM rows WHERE {by} < {cut} AND {_hashed(columns)} NOT IN ({tested})")[0])


def _largest(rows: Rows, by: str, name: str, n_test: int) -> int:
    """Rows of the largest group, by which the test may outgrow n_test; raises InputError where none would be left."""
    value, most = rows.one(f"SELECT {by}, count(*) AS n FROM rows GROUP BY {by} ORDER BY n DESC, {by} LIMIT 1")
    if n_test + most >= rows.n_rows:
        what = f"the group {str(value)!r} has {most} of {rows.n_rows} rows, too many to hold whole groups out"
        raise InputError(f"dataset.group={name!r}: {what}; split by a column of smaller groups")
    return int(most)


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
        remedy = f"at least {MIN_CLASS_ROWS} are needed to split them; merge or drop the class"
        raise InputError(f"{where}: class {str(rarest)!r} has {n_rarest} rows; {remedy}")
    values = [value for value, _ in counts]
    if len({str(value).strip() for value in values}) < len(values):
        twins = [str(value) for value in values if str(value) != str(value).strip()]
        raise InputError(f"{where}: class {twins[0]!r} differs from another by spaces alone; trim the column")
    return pd.Index(values, dtype=np.int64 if kind.startswith(NUMBERS) else object)


def labels_of(rows: Rows, key: str, classes: pd.Index) -> NDArray[np.int64]:
    """Of every row the place of its class: (n_rows,)."""
    labels = np.empty(rows.n_rows, np.int64)
    for start, chunk in rows.chunks([key], ROWS_AT_ONCE):
        labels[start : start + len(chunk[0])] = classes.get_indexer(np.asarray(chunk[0]))
    return labels


def learnable(rows: Rows, special: set[str], target: str) -> tuple[list[Column], list[Json], list[str]]:
    """The columns to learn from, those left out and why, and what the user should look at."""
    columns, left_out, warnings = [], [], []
    for i, (name, kind) in enumerate(zip(rows.names, rows.types, strict=True)):
        key = f"c{i}"
        if key in special:
            continue
        known, low, high = rows.one(f"SELECT count({key}), min({key}), max({key}) FROM rows")
        _refuse_infinities(rows, key, name, kind)
        if known == 0 or (low == high and known == rows.n_rows):
            left_out.append({"column": name, "reason": "constant" if known else "empty"})
        elif kind == "VARCHAR" and (what := _written_otherwise(rows, key, known)):
            raise InputError(f"{rows.path}: the column {name!r} holds {what}, or drop the column")
        elif _is_id(rows, key, name, kind, known, low, high):
            left_out.append({"column": name, "reason": "every row has its own value, so it looks like an id"})
        else:
            columns.append(Column(key, name, kind, _kind(kind), rows.n_rows - known, _origin(kind, low, high)))
            warnings += _oddities(rows, columns[-1], known)
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


def _refuse_infinities(rows: Rows, key: str, name: str, kind: str) -> None:
    value = f"TRY_CAST({key} AS DOUBLE)"
    if kind.startswith(("FLOAT", "DOUBLE", "VARCHAR")) and _is_mostly_numeric(rows, key, kind):
        n, first = rows.where(f"abs({value}) > {LARGEST}")
        if n:
            what = f"is infinite or beyond {LARGEST:g} in {n} rows (first: {first})"
            raise InputError(f"{rows.path}: the column {name!r} {what}; mend it")


def _is_mostly_numeric(rows: Rows, key: str, kind: str) -> bool:
    if kind != "VARCHAR":
        return True
    known, numeric = rows.one(f"SELECT count({key}), count(TRY_CAST({key} AS DOUBLE)) FROM rows")
    return bool(known) and numeric >= 0.9 * known


def _written_otherwise(rows: Rows, key: str, known: int) -> str:
    """What a column of text holds, where it is numbers or dates as other programs write them, and the remedy."""
    bare = f"regexp_replace({key}, '[\\s$€£%]', '', 'g')"
    numbers = f"coalesce(TRY_CAST(replace({bare}, ',', '.') AS DOUBLE), TRY_CAST(replace({bare}, ',', '') AS DOUBLE))"
    dates = f"try_strptime({key}, [{', '.join(map(quoted, DATE_FORMATS))}])"
    n_plain, n_numbers, n_dates, example = rows.one(
        f"SELECT count(TRY_CAST({key} AS DOUBLE)), count({numbers}), count({dates}), min({key}) FROM rows"
    )
    if n_dates >= 0.9 * known:
        return f"dates such as {example!r}, whose order of day and month is not certain; write them as 2020-12-31"
    if n_numbers >= 0.9 * known > n_plain:
        return f"numbers such as {example!r}; write them with a point and without other signs, as 1234.5"
    return ""


def _is_id(rows: Rows, key: str, name: str, kind: str, known: int, low: Any, high: Any) -> bool:
    """A text, or a whole number that counts or is called an id, of which no two rows have the same."""
    if known < rows.n_rows or kind.startswith(("FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", *DATES)):
        return False
    if kind.startswith(NUMBERS) and not (ID_NAME.search(name) or high - low < 1.1 * rows.n_rows):
        return False
    return bool(rows.one(f"SELECT count(DISTINCT {key}) FROM rows")[0] == rows.n_rows)


def _oddities(rows: Rows, column: Column, known: int) -> list[str]:
    """What the user should look at in a column that is kept."""
    if column.type != "VARCHAR":
        return []
    if _is_mostly_numeric(rows, column.key, column.type):
        is_odd = f"{column.key} IS NOT NULL AND TRY_CAST({column.key} AS DOUBLE) IS NULL"
        if n_odd := rows.where(is_odd)[0]:
            example = rows.one(f"SELECT {column.key} FROM rows WHERE {is_odd} LIMIT 1")[0]
            what = f"looks like numbers but for {n_odd} values such as {example!r}"
            return [f"the column {column.name!r} {what}; it is taken as categories"]
    n_distinct, n_trimmed = rows.one(
        f"SELECT count(DISTINCT {column.key}), count(DISTINCT trim({column.key})) FROM rows"
    )
    if n_trimmed < n_distinct:
        return [f"the column {column.name!r} has values that differ by spaces alone: {n_distinct}, trimmed {n_trimmed}"]
    if n_distinct > known / 2:
        return [f"the column {column.name!r} has {n_distinct} values in {known} rows: learners see the frequent ones"]
    return []


def encoded(rows: Rows, columns: Sequence[Column]) -> tuple[Features, list[Json]]:
    """The features in unnamed files on disk, and a card of every column they hold."""
    numeric: list[tuple[str, Json]] = []  # SQL expression, card
    categorical: list[tuple[str, Json, pd.Index]] = []
    for column in columns:
        for name, kind, expression in _expressions(column):
            card: Json = {"name": name, "kind": kind, "description": column.type.lower(), "missing": column.missing}
            if kind == "numeric":
                numeric.append((f"CAST({expression} AS FLOAT)", card))
            else:
                known = f"SELECT {expression} AS v FROM rows WHERE v IS NOT NULL GROUP BY v"
                values = sorted(rows.values(f"{known} ORDER BY count(*) DESC, v LIMIT {MOST_CATEGORIES}"))
                listed = {"categories": [str(value) for value in values[:MOST_LISTED]], "n_categories": len(values)}
                categorical.append((expression, card | listed, pd.Index(values, dtype=object)))
    features = Features(_on_disk(rows.n_rows, len(numeric), "f4"), _on_disk(rows.n_rows, len(categorical), "i4"))
    expressions = [e for e, _ in numeric] + [e for e, _, _ in categorical]
    for start, chunk in rows.chunks(expressions, max(1000, CELLS_AT_ONCE // len(expressions))):
        stop = start + len(chunk[0])
        for i, values in enumerate(chunk[: len(numeric)]):
            numbers = np.ma.filled(np.ma.asarray(values, np.float32), np.nan)
            features.numeric[start:stop, i] = numbers + np.float32(0)  # -0.0 becomes 0.0: equal rows have equal bytes
        for i, values in enumerate(chunk[len(numeric) :]):
            vocabulary = categorical[i][2]
            codes = vocabulary.get_indexer(np.ma.filled(np.ma.asarray(values, object), None))
            is_other = (codes < 0) & ~np.ma.getmaskarray(values)
            features.categorical[start:stop, i] = np.where(is_other, len(vocabulary), codes)
    return features, [card for _, card in numeric] + [card for _, card, _ in categorical]


def _expressions(column: Column) -> list[tuple[str, str, str]]:
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


def _on_disk(n_rows: int, n_columns: int, dtype: str) -> NDArray[Any]:
    """An array in a file without a name, gone with the process."""
    if n_columns == 0:
        return np.empty((n_rows, 0), dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=(n_rows, n_columns))


def _times(rows: Rows, key: str, name: str) -> NDArray[np.int64]:
    _check_time(rows, key, name)
    return _ranks(rows, key, name)


def _ranks(rows: Rows, key: str, name: str) -> NDArray[np.int64]:
    """Of every row the rank of its value among the distinct ones: (n_rows,)."""
    if n := rows.one(f"SELECT count(*) FROM rows WHERE {key} IS NULL")[0]:
        raise InputError(f"{rows.path}: {name!r} is missing in {n} rows, which then cannot be split by it; fill it")
    query = f"SELECT dense_rank() OVER (ORDER BY {key}) - 1 AS r FROM rows ORDER BY rowid"
    return np.asarray(rows.connection.execute(query).fetchnumpy()["r"], np.int64)


def _check_time(rows: Rows, key: str, name: str) -> None:
    if not rows.type(key).startswith((*NUMBERS, *DATES)):
        example = rows.one(f"SELECT min({key}) FROM rows")[0]
        raise InputError(f"dataset.time={name!r} is text such as {example!r}; write dates as 2020-12-31")


def _roles(source: Source) -> list[tuple[str, str]]:
    return [(name, role) for name, role in ((source.group, "group"), (source.time, "time")) if name]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
