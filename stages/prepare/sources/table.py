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

from stages.common.artefacts import Json
from stages.common.errors import InputError
from stages.common.features import Features, tables
from stages.contract.dataset import Column as Card
from stages.contract.dataset import LeftOut
from stages.prepare.files.database import DATES, NUMBERS, Column, Rows
from stages.prepare.files.kinds import expressions, learnable
from stages.prepare.files.reading import read_rows
from stages.prepare.files.target import classes_of, labels_of, told_of_case, with_frequent_classes
from stages.prepare.params import Asked
from stages.prepare.sizes import n_test_for, study_of
from stages.prepare.tables import Table

SPLITS, ASKS = ("group", "time"), ("target", "group", "time")
CELLS_AT_ONCE = 5_000_000  # values of features read at a time
MOST_CATEGORIES = 100_000  # of a column, the most frequent; all others are one more
MOST_LISTED = 1000  # categories named in the data card
NO_TARGET = "dataset.target is missing; name the column to predict: dataset.target=y"


def load(asked: Asked) -> Table:
    """The table with its kinds found and its features on disk; raises InputError for whatever is wrong with it."""
    if asked.path is None:
        raise InputError("dataset.path is missing; name a CSV or Parquet file: dataset.path=my.csv dataset.target=y")
    if asked.target is None:
        raise InputError(NO_TARGET)
    if asked.group and asked.time:
        both = f"dataset.group={asked.group!r} and dataset.time={asked.time!r}"
        raise InputError(f"{both}: rows are split by one; drop the other")
    for name, role in _roles(asked):
        if name.strip() == asked.target.strip():
            raise InputError(f"dataset.{role}={name!r} is the target too; rows are split by another column")
    path = Path(asked.path)
    with read_rows(path, asked.missing) as rows:
        target = rows.key(asked.target, "target")
        n_read = rows.n_rows
        rows, dropped, notes = with_frequent_classes(rows, target, asked.target, asked.rare_classes)
        special = {target} | {rows.key(name, role) for name, role in _roles(asked)}
        classes = classes_of(rows, target, asked.target)
        columns, left_out, warnings = learnable(rows, special, asked.target)
        groups = times = None
        if asked.group:
            group = rows.key(asked.group, "group")
            groups = _ranks(rows, group, asked.group)
            if asked.split in (None, "group"):
                _check_groups(rows, group, target, asked)
        if asked.time:
            time = rows.key(asked.time, "time")
            _check_time(rows, time, asked.time)
            times = _ranks(rows, time, asked.time)
        features, cards = encoded(rows, columns)
        return Table(
            title=f"{path.name}: {asked.target}",
            source=f"the file {asked.path}",
            licence="as the file's owner says",
            sha256={path.name: _sha256(path)},
            target=asked.target.strip(),
            classes=[str(value) for value in classes],
            features=features,
            columns=cards,
            labels=labels_of(rows, target, classes),
            n_read=n_read,
            groups=groups,
            times=times,
            dropped=dropped,
            left_out=left_out
            + [LeftOut(column=name.strip(), reason=f"names the rows' {role}") for name, role in _roles(asked)],
            warnings=rows.notes + notes + told_of_case(classes, asked.target) + warnings,
            file_columns=rows.names,
        )


def measure(asked: Asked) -> Json:
    """What a study of this file needs in numbers: n_rows, n_test, split, sizes and variance_size by scale.

    Raises InputError for a file that cannot be studied.
    """
    table = load(asked)
    how = asked.split or ("group" if asked.group else "time" if asked.time else "random")
    return {"n_rows": len(table.labels), "split": how} | study_of(table, how, asked, str(asked.path))


def _check_groups(rows: Rows, group: str, target: str, asked: Asked) -> None:
    """Raises InputError where whole groups cannot be held out: one is too large, or a class stands in one alone."""
    n_test = n_test_for(rows.n_rows) if asked.n_test is None else asked.n_test
    value, most = rows.one(f"SELECT {group}, count(*) AS n FROM rows GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1")
    if n_test + most >= rows.n_rows:
        what = f"the group {str(value)!r} has {most} of {rows.n_rows} rows, too many to hold whole groups out"
        raise InputError(f"dataset.group={asked.group!r}: {what}; split by a column of smaller groups")
    alone = f"SELECT {target}, min({group}) FROM rows GROUP BY 1 HAVING count(DISTINCT {group}) = 1 ORDER BY 1 LIMIT 1"
    if found := rows.connection.execute(alone).fetchone():
        what = f"the class {str(found[0])!r} stands in the group {str(found[1])!r} alone"
        remedy = "so pool and test cannot both have it; merge it with another class or drop its rows"
        raise InputError(f"dataset.group={asked.group!r}: {what}, {remedy}")


def encoded(rows: Rows, columns: Sequence[Column]) -> tuple[Features, list[Card]]:
    """The features in unnamed files on disk, and a card of every column they hold."""
    numeric: list[tuple[str, Card]] = []  # SQL expression, card
    categorical: list[tuple[str, Card, pd.Index]] = []
    for column in columns:
        for name, kind, expression in expressions(column):
            card = Card(name=name, kind=kind, description=column.type.lower(), missing=column.missing,
                        column=column.name)  # fmt: skip
            if kind == "numeric":
                numeric.append((f"CAST({expression} AS FLOAT)", card))
            else:
                known = f"SELECT {expression} AS v FROM rows WHERE v IS NOT NULL GROUP BY v"
                values = sorted(rows.values(f"{known} ORDER BY count(*) DESC, v LIMIT {MOST_CATEGORIES}"))
                listed = {"categories": [str(value) for value in values[:MOST_LISTED]], "n_categories": len(values)}
                categorical.append((expression, card.model_copy(update=listed), pd.Index(values, dtype=object)))
    numbers = _on_disk(rows.n_rows, len(numeric), "f4")
    codes = _on_disk(rows.n_rows, len(categorical), "i4")
    values_of = [e for e, _ in numeric] + [e for e, _, _ in categorical]
    for start, chunk in rows.chunks(values_of, max(1000, CELLS_AT_ONCE // len(values_of))):
        stop = start + len(chunk[0])
        for i, values in enumerate(chunk[: len(numeric)]):
            filled = np.ma.filled(np.ma.asarray(values, np.float32), np.nan)
            numbers[start:stop, i] = filled + np.float32(0)  # -0.0 becomes 0.0: equal rows have equal bytes
        for i, values in enumerate(chunk[len(numeric) :]):
            vocabulary = categorical[i][2]
            found = vocabulary.get_indexer(np.ma.filled(np.ma.asarray(values, object), None))
            is_other = (found < 0) & ~np.ma.getmaskarray(values)
            codes[start:stop, i] = np.where(is_other, len(vocabulary), found)
    return tables(numbers, codes), [card for _, card in numeric] + [card for _, card, _ in categorical]


def _on_disk(n_rows: int, n_columns: int, dtype: str) -> NDArray[Any]:
    """An array in a file without a name, gone with the process."""
    if n_columns == 0:
        return np.empty((n_rows, 0), dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=(n_rows, n_columns))


def _ranks(rows: Rows, key: str, name: str) -> NDArray[np.int64]:
    """Of every row the rank of its value among the distinct ones: (n_rows,)."""
    if n := rows.one(f"SELECT count(*) FROM rows WHERE {key} IS NULL")[0]:
        raise InputError(f"{rows.path}: {name!r} is missing in {n} rows, which then cannot be split by it; fill it")
    query = f"SELECT dense_rank() OVER (ORDER BY {key}) - 1 AS r FROM rows ORDER BY rowid"
    return np.asarray(rows.connection.execute(query).fetchnumpy()["r"], np.int64)


def _check_time(rows: Rows, key: str, name: str) -> None:
    if not rows.type(key).startswith((*NUMBERS, *DATES)):
        example = rows.one(f"SELECT min({key}) FROM rows")[0]
        kind = "text" if rows.type(key) == "VARCHAR" else f"a {rows.type(key).lower()}"
        raise InputError(f"dataset.time={name!r} is {kind} such as {str(example)!r}; write dates as 2020-12-31")


def _roles(asked: Asked) -> list[tuple[str, str]]:
    return [(name, role) for name, role in ((asked.group, "group"), (asked.time, "time")) if name]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
