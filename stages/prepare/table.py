"""The user's own table: a CSV or Parquet file and the name of its target column.

The file's rows lie in a database on disk; features go from there, some rows at a time, into arrays that live on disk
too, so that a file larger than memory takes little more of it than a small one.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.common.artefacts import Features, Json
from stages.common.errors import InputError
from stages.prepare.columns import DATES, NUMBERS, Column, expressions, hashed, learnable
from stages.prepare.params import Source
from stages.prepare.reading import Rows, opened
from stages.prepare.sizes import sizes_up_to, sure_to_stay, test_rows
from stages.prepare.tables import Table
from stages.prepare.target import RareClasses, classes_of, labels_of, rarest_share, with_frequent_classes

CELLS_AT_ONCE = 5_000_000  # values of features read at a time
MOST_CATEGORIES = 100_000  # of a column, the most frequent; all others are one more
MOST_LISTED = 1000  # categories named in the data card
NO_TARGET = "dataset.target is missing; name the column to predict: dataset.target=y"


def load(source: Source) -> Table:
    """The table with its kinds found and its features on disk; raises InputError for whatever is wrong with it."""
    if source.target is None:
        raise InputError(NO_TARGET)
    path = Path(source.path)
    with opened(path, source.missing) as rows:
        target = rows.key(source.target, "target")
        rows, dropped, notes = with_frequent_classes(rows, target, source.target, source.rare_classes)
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
            dropped=dropped,
            left_out=left_out
            + [{"column": name, "reason": f"names the rows' {role}"} for name, role in _roles(source)],
            warnings=rows.notes + notes + warnings,
            file_columns=rows.names,
        )


def measure(
    path: str | None,
    target: str | None,
    group: str | None = None,
    time: str | None = None,
    n_test: int | None = None,
    missing: Sequence[str | int | float] = (),
    rare_classes: RareClasses = "refuse",
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
    with opened(Path(path), missing) as rows:
        key = rows.key(target, "target")
        rows, _, _ = with_frequent_classes(rows, key, target, rare_classes)
        classes = classes_of(rows, key, target)
        named = {rows.key(name, role) for name, role in ((group, "group"), (time, "time")) if name}
        columns = learnable(rows, named | {key}, target)[0]
        n_test = test_rows(rows.n_rows) if n_test is None else n_test
        if time:
            n_pool = _earlier(rows, columns, rows.key(time, "time"), time, n_test)
        else:
            most = _largest(rows, rows.key(group, "group"), group, n_test) if group else 0
            n_pool = sure_to_stay(_copies(rows, columns), n_test + most)
        sizes = sizes_up_to(n_pool, len(classes), path, rarest_share(rows, key))
    split = "group" if group else "time" if time else "random"
    return {"n_rows": rows.n_rows, "n_test": n_test, "split": split} | sizes


def _copies(rows: Rows, columns: Sequence[Column]) -> dict[int, int]:
    """How many different rows stand m times, by m."""
    repeats = f"SELECT count(*) AS m FROM rows GROUP BY {hashed(columns)}"
    return dict(rows.connection.execute(f"SELECT m, count(*) FROM ({repeats}) GROUP BY m ORDER BY m").fetchall())


def _earlier(rows: Rows, columns: Sequence[Column], by: str, name: str, n_test: int) -> int:
    """How many rows lie before the test's and repeat none of them."""
    _check_time(rows, by, name)
    cut = f"(SELECT {by} FROM rows ORDER BY {by} DESC LIMIT 1 OFFSET {max(0, min(n_test, rows.n_rows) - 1)})"
    tested = f"SELECT {hashed(columns)} FROM rows WHERE {by} >= {cut}"
    return int(rows.one(f"SELECT count(*) FROM rows WHERE {by} < {cut} AND {hashed(columns)} NOT IN ({tested})")[0])


def _largest(rows: Rows, by: str, name: str, n_test: int) -> int:
    """Rows of the largest group, by which the test may outgrow n_test; raises InputError where none would be left."""
    value, most = rows.one(f"SELECT {by}, count(*) AS n FROM rows GROUP BY {by} ORDER BY n DESC, {by} LIMIT 1")
    if n_test + most >= rows.n_rows:
        what = f"the group {str(value)!r} has {most} of {rows.n_rows} rows, too many to hold whole groups out"
        raise InputError(f"dataset.group={name!r}: {what}; split by a column of smaller groups")
    return int(most)


def encoded(rows: Rows, columns: Sequence[Column]) -> tuple[Features, list[Json]]:
    """The features in unnamed files on disk, and a card of every column they hold."""
    numeric: list[tuple[str, Json]] = []  # SQL expression, card
    categorical: list[tuple[str, Json, pd.Index]] = []
    for column in columns:
        for name, kind, expression in expressions(column):
            card: Json = {"name": name, "kind": kind, "description": column.type.lower(), "missing": column.missing}
            card["column"] = column.name
            if kind == "numeric":
                numeric.append((f"CAST({expression} AS FLOAT)", card))
            else:
                known = f"SELECT {expression} AS v FROM rows WHERE v IS NOT NULL GROUP BY v"
                values = sorted(rows.values(f"{known} ORDER BY count(*) DESC, v LIMIT {MOST_CATEGORIES}"))
                listed = {"categories": [str(value) for value in values[:MOST_LISTED]], "n_categories": len(values)}
                categorical.append((expression, card | listed, pd.Index(values, dtype=object)))
    features = Features(_on_disk(rows.n_rows, len(numeric), "f4"), _on_disk(rows.n_rows, len(categorical), "i4"))
    values_of = [e for e, _ in numeric] + [e for e, _, _ in categorical]
    for start, chunk in rows.chunks(values_of, max(1000, CELLS_AT_ONCE // len(values_of))):
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
