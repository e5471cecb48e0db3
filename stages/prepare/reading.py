"""A CSV or Parquet file as a table of DuckDB, in a database on disk; what cannot be read is refused in one line."""

import csv
import gzip
import io
import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from stages.common.errors import InputError, nearest

DELIMITERS = ",;\t|"
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
HEADER_BYTES = 1_000_000  # in which the first records of a CSV must end
MEMORY = "800MB"  # of DuckDB; what does not fit goes to disk
MIN_ROWS = 100
Settings = dict[str, str | bool | int | float | list[str]]


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
            _without_zones_and_nan(connection)
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
        f"CREATE TABLE rows AS SELECT * FROM read_csv({_literal(path)}, delim={quoted(delimiter)}, header=true, "
        # No BOOLEAN: yes and no stay words.
        f"auto_type_candidates=['BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'TIMESTAMPTZ', 'VARCHAR'], "
        f"dateformat='%Y-%m-%d', comment='', hive_partitioning=false, "
        f"""skip=0, quote='"', escape='"', sample_size=-1, nullstr=[{", ".join(map(quoted, MISSING))}]) """
        f"AS t({aliases})"
    )
    return names


def _header(path: Path) -> tuple[str, list[str]]:
    """The delimiter, and the names as they stand in the file: DuckDB renames those that are empty or repeated."""
    try:
        with _opened_as_bytes(path) as file:
            start = file.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if b"\0" in start:
        raise InputError(f"{path} is no text (it holds zero bytes); save it as CSV in UTF-8")
    try:
        first, end, others = start.partition(b"\n")
        text = (first + end).decode("utf-8-sig") + others.decode(errors="ignore")  # DuckDB names later lines
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not in UTF-8 (byte {error.start}); save it in UTF-8") from None
    candidates = {}
    for delimiter in DELIMITERS:
        try:
            records = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 10))
        except csv.Error as error:
            raise InputError(f"{path} cannot be read: {error}") from None
        if records and len(records[0]) > 1:
            is_regular = len({len(record) for record in records if record}) <= 1
            candidates[delimiter] = (is_regular, len(records[0]), records[0])
    if not candidates:
        first = text.splitlines()[0][:60] if text.strip() else ""
        raise InputError(f"{path} has one column only ({first!r}); separate columns by one of , ; | or a tab")
    best = max(candidates, key=lambda d: candidates[d][:2])
    return best, candidates[best][2]


def _read_parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    reader = f"read_parquet({_literal(path)}, hive_partitioning=false)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
    if nested := [row[0] for row in described if re.search(r"\[|STRUCT|MAP|UNION|BLOB", row[1])]:
        raise InputError(f"{path}: the column {nested[0]!r} holds lists, objects or bytes; bring one value a cell")
    # The reader renames columns that differ by case alone; the schema has them as they stand in the file.
    schema = f"SELECT name FROM parquet_schema({_literal(path)}) WHERE num_children IS NULL"
    names = [str(row[0]) for row in connection.execute(schema).fetchall()]
    aliases = ", ".join(f"c{i}" for i in range(len(names)))
    words = ", ".join(map(quoted, MISSING))
    values = ", ".join(
        f"CASE WHEN c{i} IN ({words}) THEN NULL ELSE c{i} END AS c{i}" if row[1] == "VARCHAR" else f"c{i}"
        for i, row in enumerate(described)
    )
    connection.execute(f"CREATE TABLE rows AS SELECT {values} FROM {reader} AS t({aliases})")
    return names


def _without_zones_and_nan(connection: duckdb.DuckDBPyConnection) -> None:
    """Times with a zone become times without one, in UTC; what is not a number becomes a missing value."""
    for key, kind, *_ in connection.execute("DESCRIBE rows").fetchall():
        if kind == "TIMESTAMP WITH TIME ZONE":
            utc = f"make_timestamp(epoch_us({key}))"
            connection.execute(f"ALTER TABLE rows ALTER {key} TYPE TIMESTAMP USING {utc}")
        if kind in ("FLOAT", "DOUBLE"):
            connection.execute(f"UPDATE rows SET {key} = NULL WHERE isnan({key})")


def _check_names(names: list[str], path: Path) -> None:
    if empty := [i + 1 for i, name in enumerate(names) if not name.strip()]:
        raise InputError(f"{path}: column {empty[0]} has no name; name every column in the first line")
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        raise InputError(f"{path}: {names.count(repeated[0])} columns are called {repeated[0]!r}; rename all but one")


def _literal(path: Path) -> str:
    """The path for DuckDB, which takes * ? [ for patterns."""
    return quoted(re.sub(r"([*?\[])", r"[\1]", str(path)))


def _opened_as_bytes(path: Path) -> Any:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _reason(error: duckdb.Error, path: Path) -> str:
    """What is wrong with the file, in one line, with what to do where that is known."""
    message = str(error)
    if "not utf-8 encoded" in message or "Invalid unicode" in message:
        line = re.search(r"Line: (\d+)", message)
        return f"{'line ' + line.group(1) + ' ' if line else ''}is not in UTF-8; save it in UTF-8"
    if path.suffix.lower() != ".parquet":
        delimiter, names = _header(path)
        with suppress(csv.Error, UnicodeDecodeError, OSError, EOFError), _opened_as_bytes(path) as file:
            reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""), delimiter=delimiter)
            for record in reader:
                if record and len(record) != len(names):
                    return f"line {reader.line_num} has {len(record)} values, the first line {len(names)}; mend it"
    lines = [line for line in message.splitlines() if line.strip()]
    return "; ".join(lines[:3])
