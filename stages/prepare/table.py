"""The user's own table: a CSV or Parquet file and the name of its target column.

DuckDB reads the file into a database of its own on disk, so that a file larger than memory takes no more memory than a
small one; features go from there, some rows at a time, into arrays that live on disk too.
"""

import csv
import gzip
import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.common.artefacts import Features, Json
from stages.common.errors import InputError, nearest
from stages.prepare.params import Source
from stages.prepare.tables import Table

DELIMITERS = ",;\t|"
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
MIN_ROWS, MIN_CLASS_ROWS, MOST_CLASSES = 100, 10, 1000
MOST_NUMBERS = 100  # distinct whole numbers that may still be classes
MEMORY = "800MB"  # of DuckDB; what does not fit goes to disk
CELLS_AT_ONCE, ROWS_AT_ONCE = 5_000_000, 500_000  # values of features, rows of labels read at a time
MOST_CATEGORIES = 100_000  # of a column, the most frequent; all others are one more
MOST_LISTED = 1000  # categories named in the data card
ID_NAME = re.compile(r"(^|[^a-z])(id|uuid|guid|index|key)$|[a-z]Id$|^unnamed: ?\d+$", re.IGNORECASE)
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip
DATES = ("DATE", "TIMESTAMP")
Settings = dict[str, str | bool | int | float | list[str]]
NO_TARGET = "dataset.target is missing; name the column to predict: dataset.target=y"
TEST_SHARE, MOST_TEST_ROWS = 0.25, 50_000


@dataclass(frozen=True)
class Column:
    """A column of the file: `key` is its name in the database, `kind` what becomes of it."""

    key: str
    name: str
    type: str
    kind: str  # numeric | categorical | date | timestamp
    missing: int


@dataclass(frozen=True)
class Rows:
    """The file's rows in the database, as table `rows` with columns c0, c1, ..."""

    connection: duckdb.DuckDBPyConnection
    path: Path
    names: list[str]
    types: list[str]
    n_rows: int

    def key(self, name: str, role: str) -> str:
        """Raises InputError naming the nearest column where there is no such column."""
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

    def chunks(self, expressions: Sequence[str], n_at_once: int) -> Iterator[tuple[int, list[Any]]]:
        """The first row's number and the values of each expression, masked where missing; some rows at a time."""
        listed = ", ".join(f"{expression} AS v{i}" for i, expression in enumerate(expressions))
        for start in range(0, self.n_rows, n_at_once):
            query = f"SELECT {listed} FROM rows WHERE rowid >= {start} AND rowid < {start + n_at_once} ORDER BY rowid"
            chunk = self.connection.execute(query).fetchnumpy()
            yield start, [chunk[f"v{i}"] for i in range(len(expressions))]

    def values(self, query: str) -> list[Any]:
        return [row[0] for row in self.connection.execute(query).fetchall()]


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
            times=_ranks(rows, rows.key(source.time, "time"), source.time) if source.time else None,
            dropped={},
            left_out=left_out
            + [{"column": name, "reason": f"names the rows' {role}"} for name, role in _roles(source)],
            warnings=warnings,
        )


def measure(
    path: str | None, target: str | None, group: str | None = None, time: str | None = None, n_test: int | None = None
) -> Json:
    """What a study of this file needs in numbers: n_rows, n_test, split, sizes and variance_size by scale.

    Sizes are the powers of two from a few labels a class up to the pool that is sure to be left when repeated rows
    are gone. Raises InputError for a file that cannot be studied.
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
        n_distinct = rows.one(f"SELECT count(DISTINCT hash({', '.join(c.key for c in columns)})) FROM rows")[0]
        largest_group = 0
        if group:
            by = rows.key(group, "group")
            largest_group = rows.one(f"SELECT max(n) FROM (SELECT count(*) AS n FROM rows GROUP BY {by})")[0]
    n_test = min(MOST_TEST_ROWS, int(TEST_SHARE * rows.n_rows)) if n_test is None else n_test
    split = "group" if group else "time" if time else "random"
    n_pool = n_distinct - n_test - largest_group
    return {"n_rows": rows.n_rows, "n_test": n_test, "split": split} | sizes_up_to(n_pool, len(classes), path)


def sizes_up_to(n_pool: int, n_classes: int, path: str) -> Json:
    """Sizes by doublings for each scale, and where draws and initialisations are crossed."""
    top = 1 << max(0, n_pool).bit_length() - 1 if n_pool > 0 else 0
    if top < 64:
        raise InputError(
            f"{path}: {max(0, n_pool)} distinct rows for training are too few for two sizes; bring 64 or more"
        )
    first = 32
    while first < 8 * n_classes and first < top // 8:
        first *= 2
    doublings = [first << i for i in range(40) if first << i <= top]
    quick = [n for n in doublings if n <= 65_536][-7:]
    full = doublings[-12:]
    crossed = [n for n in full if n <= min(16_384, top // 4)]
    return {
        "sizes": {"smoke": quick[:2], "quick": quick, "full": full},
        "variance_size": {"smoke": quick[0], "quick": None, "full": crossed[-1] if crossed else full[0]},
    }


@contextmanager
def opened(path: Path) -> Iterator[Rows]:
    """The file's rows in a database on disk, which is gone afterwards."""
    if not path.is_file():
        raise InputError(f"dataset.path={str(path)!r} is no file; name a CSV or Parquet file")
    suffixes = [suffix.lower() for suffix in path.suffixes] or [""]
    kind = suffixes[-2] if suffixes[-1] == ".gz" and len(suffixes) > 1 else suffixes[-1]
    if kind not in (".csv", ".tsv", ".txt", ".parquet"):
        why = "to load a pickle is to run its code; " if kind in (".pkl", ".pickle", ".joblib") else ""
        raise InputError(f"dataset.path={str(path)!r}: {kind or 'no'} suffix; {why}save it as .csv or .parquet")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; bring a header and rows")
    with tempfile.TemporaryDirectory() as folder:
        settings: Settings = {"memory_limit": MEMORY, "temp_directory": folder, "threads": 2}
        with duckdb.connect(f"{folder}/rows.duckdb", config=settings) as connection:
            read = _read_parquet if kind == ".parquet" else _read_csv
            try:
                names = read(connection, path)
            except duckdb.Error as error:
                raise InputError(f"{path} cannot be read: {_reason(error, path)}") from None
            _check_names(names, path)
            _in_utc(connection)
            types = [row[1] for row in connection.execute("DESCRIBE rows").fetchall()]
            found = connection.execute("SELECT count(*) FROM rows").fetchone()
            n_rows = found[0] if found else 0
            if n_rows < MIN_ROWS:
                what = "a header and no rows" if not n_rows else f"{n_rows} rows"
                raise InputError(f"{path} has {what}; at least {MIN_ROWS} rows are needed")
            try:
                yield Rows(connection, path, names, types, n_rows)
            except duckdb.Error as error:
                raise InputError(f"{path}: {_reason(error, path)}") from None


def _read_csv(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    delimiter, names = _header(path)
    aliases = ", ".join(f"c{i}" for i in range(len(names)))
    connection.execute(
        f"CREATE TABLE rows AS SELECT * FROM read_csv({_quoted(str(path))}, delim={_quoted(delimiter)}, header=true, "
        f"auto_type_candidates=['BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'VARCHAR'], "  # yes and no stay words
        f"""skip=0, quote='"', escape='"', sample_size=-1, nullstr=[{", ".join(map(_quoted, MISSING))}]) """
        f"AS t({aliases})"
    )
    return names


def _header(path: Path) -> tuple[str, list[str]]:
    """The delimiter, and the names as they stand in the file: DuckDB renames those that are empty or repeated."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        start = file.read(65_536)
    if b"\0" in start:
        raise InputError(f"{path} is no text (it holds zero bytes); save it as CSV in UTF-8")
    try:
        text = start.decode("utf-8-sig", errors="strict" if len(start) < 65_536 else "ignore")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not in UTF-8 (byte {error.start}); save it in UTF-8") from None
    candidates = {}
    for delimiter in DELIMITERS:
        records = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter))[:10]
        if records and len(records[0]) > 1:
            is_regular = len({len(record) for record in records[:-1] if record}) <= 1
            candidates[delimiter] = (is_regular, len(records[0]), records[0])
    if not candidates:
        first = text.splitlines()[0][:60] if text.strip() else ""
        raise InputError(f"{path} has one column only ({first!r}); separate columns by one of , ; | or a tab")
    best = max(candidates, key=lambda d: candidates[d][:2])
    return best, candidates[best][2]


def _read_parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    reader = f"read_parquet({_quoted(str(path))})"
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
    names = [str(row[0]) for row in described]
    if nested := [row[0] for row in described if re.search(r"\[|STRUCT|MAP|UNION|BLOB", row[1])]:
        raise InputError(f"{path}: the column {nested[0]!r} holds lists, objects or bytes; bring one value a cell")
    aliases = ", ".join(f"c{i}" for i in range(len(names)))
    connection.execute(f"CREATE TABLE rows AS SELECT * FROM {reader} AS t({aliases})")
    return names


def _in_utc(connection: duckdb.DuckDBPyConnection) -> None:
    """Times with a zone become times without one, in UTC."""
    for key, kind, *_ in connection.execute("DESCRIBE rows").fetchall():
        if kind == "TIMESTAMP WITH TIME ZONE":
            utc = f"make_timestamp(epoch_us({key}))"
            connection.execute(f"ALTER TABLE rows ALTER {key} TYPE TIMESTAMP USING {utc}")


def _check_names(names: list[str], path: Path) -> None:
    if empty := [i + 1 for i, name in enumerate(names) if not name.strip()]:
        raise InputError(f"{path}: column {empty[0]} has no name; name every column in the first line")
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        raise InputError(f"{path}: {names.count(repeated[0])} columns are called {repeated[0]!r}; rename all but one")


def classes_of(rows: Rows, key: str, name: str) -> pd.Index:
    """The values of the target in order; raises InputError where they are no classes to learn."""
    where, kind = f"the target {name!r} of {rows.path}", rows.type(key)
    is_missing = f"{key} IS NULL" + (f" OR isnan({key})" if kind in ("FLOAT", "DOUBLE") else "")
    n_missing, first = rows.where(is_missing)
    if n_missing:
        raise InputError(f"{where} is missing in {n_missing} rows (first: {first}); drop or fill these rows")
    if kind.startswith(DATES):
        raise InputError(f"{where} is a {kind.lower()}; a target has classes")
    counts = rows.connection.execute(f"SELECT {key}, count(*) FROM rows GROUP BY 1 ORDER BY 1 LIMIT 2000").fetchall()
    n_distinct = len(counts) if len(counts) < 2000 else rows.one(f"SELECT count(DISTINCT {key}) FROM rows")[0]
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
        elif _is_id(rows, key, name, kind, known, low, high):
            left_out.append({"column": name, "reason": "every row has its own value, so it looks like an id"})
        else:
            columns.append(Column(key, name, kind, _kind(kind), rows.n_rows - known))
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


def _refuse_infinities(rows: Rows, key: str, name: str, kind: str) -> None:
    value = f"TRY_CAST({key} AS DOUBLE)"
    if kind.startswith(("FLOAT", "DOUBLE", "VARCHAR")) and _is_mostly_numeric(rows, key, kind):
        n, first = rows.where(f"isinf({value})")
        if n:
            raise InputError(f"{rows.path}: the column {name!r} is infinite in {n} rows (first: {first}); mend it")


def _is_mostly_numeric(rows: Rows, key: str, kind: str) -> bool:
    if kind != "VARCHAR":
        return True
    known, numeric = rows.one(f"SELECT count({key}), count(TRY_CAST({key} AS DOUBLE)) FROM rows")
    return bool(known) and numeric >= 0.9 * known


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
    n_distinct = rows.one(f"SELECT count(DISTINCT {column.key}) FROM rows")[0]
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
    """Name, kind and SQL of what a column becomes: a date is days since 1970, a month and a weekday."""
    key, name = column.key, column.name
    if column.kind == "numeric":
        return [(name, "numeric", key)]
    if column.kind == "categorical":
        return [(name, "categorical", f"CAST({key} AS VARCHAR)")]
    parts = [
        (f"{name} (days)", "numeric", f"epoch({key}) / 86400"),
        (f"{name} (month)", "categorical", f"CAST(month({key}) AS VARCHAR)"),
        (f"{name} (weekday)", "categorical", f"CAST(isodow({key}) AS VARCHAR)"),
    ]
    hour = (f"{name} (hour)", "numeric", f"hour({key}) + minute({key}) / 60")
    return [*parts, hour] if column.kind == "timestamp" else parts


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


def _roles(source: Source) -> list[tuple[str, str]]:
    return [(name, role) for name, role in ((source.group, "group"), (source.time, "time")) if name]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _reason(error: duckdb.Error, path: Path) -> str:
    """What is wrong with the file, in one line, with what to do where that is known."""
    message = str(error)
    if "not utf-8 encoded" in message or "Invalid unicode" in message:
        line = re.search(r"Line: (\d+)", message)
        return f"{'line ' + line.group(1) + ' ' if line else ''}is not in UTF-8; save it in UTF-8"
    if path.suffix != ".parquet":
        delimiter, names = _header(path)
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            reader = csv.reader(file, delimiter=delimiter)
            for record in reader:
                if record and len(record) != len(names):
                    return f"line {reader.line_num} has {len(record)} values, the first line {len(names)}; mend it"
    lines = [line for line in message.splitlines() if line.strip()]
    return "; ".join(lines[:3])
