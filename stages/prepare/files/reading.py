"""A CSV or Parquet file as a table of DuckDB, in a database on disk; what cannot be read is refused in one line."""

import csv
import io
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from stages.common import provenance
from stages.common.errors import InputError
from stages.prepare.files.database import Rows, literal, quoted
from stages.prepare.files.delimited import header, opened_as_bytes, read_csv
from stages.prepare.files.values import settled, trimmed, with_zones_in_utc, without
from stages.prepare.packed import LABEL, check_bytes, check_gzip, check_room

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
MEMORY = "800MB"  # of DuckDB; what does not fit goes to disk
MIN_ROWS = 100
VARYING = re.compile("VARCHAR|JSON|VARIANT|GEOMETRY")  # types whose values are of any length
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
Settings = dict[str, str | bool | int | float | list[str]]


@contextmanager
def read_rows(path: Path, missing: Sequence[str | int | float] = ()) -> Iterator[Rows]:
    """The file's rows in a database on disk, which is gone afterwards.

    missing: values that stand for a missing one, besides MISSING.
    """
    if not path.is_file():
        remedy = "run `dvc pull`" if provenance.is_tracked(path) else "name a CSV or Parquet file"
        raise InputError(f"dataset.path={str(path)!r} is no file; {remedy}")
    suffixes = [suffix.lower() for suffix in path.suffixes] or [""]
    kind = suffixes[-2] if suffixes[-1] == ".gz" and len(suffixes) > 1 else suffixes[-1]
    if kind not in (".csv", ".tsv", ".txt", ".parquet"):
        why = "to load a pickle is to run its code; " if kind in (".pkl", ".pickle", ".joblib") else ""
        raise InputError(f"dataset.path={str(path)!r}: {kind or 'no'} suffix; {why}save it as .csv or .parquet")
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise InputError(f"{path} is a pointer of Git LFS, not the file itself; run `git lfs pull`")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; bring a header and rows")
    if suffixes[-1] == ".gz":
        check_gzip(path)
    with tempfile.TemporaryDirectory() as folder:
        settings: Settings = {"memory_limit": MEMORY, "temp_directory": folder, "threads": 2}
        with duckdb.connect(f"{folder}/rows.duckdb", config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")  # whatever the machine's is
            words = MISSING + [str(value) for value in missing]
            notes: list[str] = []
            try:
                if kind == ".parquet":
                    names = _read_parquet(connection, path, words)
                else:
                    names, notes = read_csv(connection, path, words, Path(folder))
            except duckdb.Error as error:
                raise InputError(f"{path} cannot be read: {_reason(error, path)}") from None
            if padded := [name for name in names if name != name.strip()]:
                notes.append(f"blanks around names of columns are taken off: {padded[0]!r} is {padded[0].strip()!r}")
            names = [name.strip() for name in names]
            _check_names(names, path)
            notes += trimmed(connection, names, words) + settled(connection, names, kind == ".parquet")
            notes += with_zones_in_utc(connection, names) + without(connection, names, missing)
            types = [row[1] for row in connection.execute("DESCRIBE rows").fetchall()]
            found = connection.execute("SELECT count(*) FROM rows").fetchone()
            n_rows = found[0] if found else 0
            if n_rows < MIN_ROWS:
                what = "a header and no rows" if not n_rows else f"{n_rows} rows"
                raise InputError(f"{path} has {what}; at least {MIN_ROWS} rows are needed")
            try:
                yield Rows(connection, path, names, types, n_rows, notes)
            except duckdb.Error as error:
                raise InputError(f"{path}: {_reason(error, path)}") from None


def _read_parquet(connection: duckdb.DuckDBPyConnection, path: Path, missing: Sequence[str]) -> list[str]:
    reader = f"read_parquet({literal(path)}, hive_partitioning=false)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
    if nested := [row[0] for row in described if re.search(r"\[|STRUCT|MAP|UNION|BLOB", row[1])]:
        raise InputError(f"{path}: the column {nested[0]!r} holds lists, objects or bytes; bring one value per cell")
    # The reader renames columns that differ by case alone; the schema has them as they stand in the file.
    schema = f"SELECT name FROM parquet_schema({literal(path)}) WHERE num_children IS NULL"
    names = [str(row[0]) for row in connection.execute(schema).fetchall()]
    # Of the row groups, which is what is read: the file's own number of rows may be any.
    told = connection.execute(f"SELECT sum(row_group_num_rows) FROM parquet_metadata({literal(path)})").fetchone()
    check_room(path, int(told[0] or 0) if told else 0)
    aliases = ", ".join(f"c{i}" for i in range(len(names)))
    texts = [f"c{i}" for i, row in enumerate(described) if VARYING.match(row[1])]
    check_bytes(path, _bytes_of_texts(connection, path, f"{reader} AS t({aliases})", texts), "save it as .csv")
    words = ", ".join(map(quoted, missing))
    values = ", ".join(
        f"CASE WHEN c{i} IN ({words}) THEN NULL ELSE c{i} END AS c{i}" if row[1] == "VARCHAR" else f"c{i}"
        for i, row in enumerate(described)
    )
    connection.execute(f"CREATE TABLE rows AS SELECT {values} FROM {reader} AS t({aliases})")
    return names


def _bytes_of_texts(connection: duckdb.DuckDBPyConnection, path: Path, rows: str, texts: Sequence[str]) -> int:
    """Bytes of all texts beyond LABEL each, counted while they stream by: a dictionary holds once what rows repeat."""
    beyond = [f"coalesce(sum(greatest(strlen(CAST({text} AS VARCHAR)) - {LABEL}, 0)), 0)" for text in texts]
    try:
        found = connection.execute(f"SELECT {' + '.join(['0', *beyond])} FROM {rows}").fetchone()
    except duckdb.OutOfMemoryException:
        what = f"{path} of {path.stat().st_size:,} bytes has a page or a text that takes more than {MEMORY} to read"
        raise InputError(f"{what}; write it with smaller row groups and texts if you trust it") from None
    return int(found[0]) if found else 0


def _check_names(names: list[str], path: Path) -> None:
    if empty := [i + 1 for i, name in enumerate(names) if not name.strip()]:
        raise InputError(f"{path}: column {empty[0]} has no name; name every column in the first line")
    if repeated := [name for name, n in Counter(names).items() if n > 1]:
        raise InputError(f"{path}: {names.count(repeated[0])} columns are called {repeated[0]!r}; rename all but one")


def _reason(error: duckdb.Error, path: Path) -> str:
    """What is wrong with the file, in one line, with what to do where that is known."""
    message = str(error)
    if "not utf-8 encoded" in message or "Invalid unicode" in message:
        line = re.search(r"Line: (\d+)", message)
        return f"{'line ' + line.group(1) + ' ' if line else ''}is not in UTF-8; save it in UTF-8"
    if path.suffix.lower() != ".parquet":
        delimiter, names = header(path)
        with suppress(csv.Error, UnicodeDecodeError, OSError, EOFError), opened_as_bytes(path) as file:
            reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""), delimiter=delimiter)
            for record in reader:
                if record and len(record) != len(names):
                    return f"line {reader.line_num} has {len(record)} values, the first line {len(names)}; mend it"
    lines = [line for line in message.splitlines() if line.strip()]
    return "; ".join(lines[:3])
