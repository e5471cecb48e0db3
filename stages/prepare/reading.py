"""A CSV or Parquet file as a table of DuckDB, in a database on disk; what cannot be read is refused in one line."""

import csv
import gzip
import io
import math
import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from stages.common import provenance
from stages.common.errors import InputError, nearest

DELIMITERS = ",;\t|"
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
BLANKS = "' ' || chr(9) || chr(160)"  # around words, in SQL
MOST_OF_A_LINE = 20_000_000  # bytes
HEADER_BYTES = 1_000_000  # in which the first records of a CSV must end
MEMORY = "800MB"  # of DuckDB; what does not fit goes to disk
MIN_ROWS = 100
CODE = "^0[0-9]"  # digits that are no number
ZONE = r"\d:\d\d.*(?:[+-]\d\d(?::?\d\d)?|Z)$"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
Settings = dict[str, str | bool | int | float | list[str]]


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


@contextmanager
def opened(path: Path, missing: Sequence[str | int | float] = ()) -> Iterator[Rows]:
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
                    names, notes = _read_csv(connection, path, words, Path(folder))
            except duckdb.Error as error:
                raise InputError(f"{path} cannot be read: {_reason(error, path)}") from None
            if padded := [name for name in names if name != name.strip()]:
                notes.append(f"blanks around names of columns are taken off: {padded[0]!r} is {padded[0].strip()!r}")
            names = [name.strip() for name in names]
            _check_names(names, path)
            notes += _trimmed(connection, names, words) + _settled(connection, names, kind == ".parquet")
            notes += _with_zones_in_utc(connection, names) + _without(connection, names, missing)
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


def _read_csv(
    connection: duckdb.DuckDBPyConnection, path: Path, missing: Sequence[str], folder: Path
) -> tuple[list[str], list[str]]:
    """The names of the columns, and what a person may not expect."""
    delimiter, names = _header(path)
    n_lines, ends = _lines(path)
    notes = []
    text = path
    if len(ends) > 1:
        text = folder / "rows.csv"
        _with_one_line_end(path, text)
        counts = " and ".join(f"{n} in {name}" for name, n in sorted(ends.items()))
        notes.append(f"lines end in two ways ({counts}); both are read as ends of lines")
    aliases = ", ".join(f"c{i}" for i in range(len(names)))

    def read(table: str, quote: str) -> int:
        connection.execute(
            f"CREATE TABLE {table} AS SELECT * FROM read_csv({_literal(text)}, delim={quoted(delimiter)}, header=true, "
            # No BOOLEAN: yes and no stay words.
            f"auto_type_candidates=['BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'TIMESTAMPTZ', 'VARCHAR'], "
            f"dateformat='%Y-%m-%d', comment='', hive_partitioning=false, max_line_size={MOST_OF_A_LINE}, "
            f"skip=0, quote={quoted(quote)}, escape={quoted(quote)}, sample_size=-1, "
            f"nullstr=[{', '.join(map(quoted, missing))}]) AS t({aliases})"
        )
        found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(found[0]) if found else 0

    n_quoted: int | None = None
    try:
        n_quoted = read("rows", '"')
    except duckdb.Error:
        if not _has_quotes(path):
            raise
    if n_quoted is None or n_quoted + 1 != n_lines:  # some quote swallowed ends of lines, or has no other
        n_plain = None
        with suppress(duckdb.Error):
            n_plain = read("plain", "")
        if n_plain is not None and n_plain + 1 == n_lines:
            connection.execute("DROP TABLE IF EXISTS rows")
            connection.execute("ALTER TABLE plain RENAME TO rows")
            notes.append(
                f'a quote (") is read as a sign like others: so each of the {n_lines} lines has {len(names)} values'
            )
        elif n_quoted is None:
            read("rows", '"')  # for its error
        else:
            connection.execute("DROP TABLE IF EXISTS plain")
            _refuse_swallowed_rows(connection, path, names, delimiter)
            n_records = _records(path, delimiter) - 1
            if n_quoted != n_records:
                raise InputError(f"{path}: of {n_records} rows {n_quoted} were read; mend its quotes and ends of lines")
    return names, notes


def _lines(path: Path) -> tuple[int, dict[str, int]]:
    """How many lines are not empty, and how many end in which way."""
    n_lines, ends = 0, Counter[str]()
    with _opened_as_bytes(path) as file:
        for line in file:
            ends["CRLF" if line.endswith(b"\r\n") else "LF"] += line.endswith(b"\n")
            n_lines += bool(line.strip(b"\r\n"))
    return n_lines, {name: n for name, n in ends.items() if n}


def _records(path: Path, delimiter: str) -> int:
    """How many records are not empty, as Python reads them; a quoted field may go over several lines."""
    with _opened_as_bytes(path) as file:
        return sum(map(bool, csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""), delimiter=delimiter)))


def _with_one_line_end(path: Path, target: Path) -> None:
    with _opened_as_bytes(path) as file, target.open("wb") as copy:
        for line in file:
            copy.write(line[:-2] + b"\n" if line.endswith(b"\r\n") else line)


def _has_quotes(path: Path) -> bool:
    with _opened_as_bytes(path) as file:
        return any(b'"' in line for line in file)


def _refuse_swallowed_rows(
    connection: duckdb.DuckDBPyConnection, path: Path, names: Sequence[str], delimiter: str
) -> None:
    """Raises InputError where a quoted field goes over lines that look like rows of their own."""
    for i, (_, kind, *_) in enumerate(connection.execute("DESCRIBE rows").fetchall()):
        if kind != "VARCHAR":
            continue
        inner = f"str_split(c{i}, chr(10))[2:-2]"  # without the parts of rows at both ends
        n_delimiters = f"length(x) - length(replace(x, {quoted(delimiter)}, ''))"
        are_rows = f"len(list_filter({inner}, lambda x: {n_delimiters} <> {len(names) - 1})) = 0"
        is_row = f"len({inner}) > 0 AND {are_rows}"
        found = connection.execute(f"SELECT c{i} FROM rows WHERE c{i} LIKE '%' || chr(10) || '%' AND {is_row} LIMIT 1")
        if swallowed := found.fetchone():
            start, n = swallowed[0].splitlines()[0][:40], swallowed[0].count("\n")
            what = f"a field of {names[i]!r} that begins with a quote and {start!r}"
            raise InputError(f"{path}: {what} goes over {n} lines that look like rows; close or drop the quote")


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
    csv.field_size_limit(MOST_OF_A_LINE)
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


def _read_parquet(connection: duckdb.DuckDBPyConnection, path: Path, missing: Sequence[str]) -> list[str]:
    reader = f"read_parquet({_literal(path)}, hive_partitioning=false)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
    if nested := [row[0] for row in described if re.search(r"\[|STRUCT|MAP|UNION|BLOB", row[1])]:
        raise InputError(f"{path}: the column {nested[0]!r} holds lists, objects or bytes; bring one value a cell")
    # The reader renames columns that differ by case alone; the schema has them as they stand in the file.
    schema = f"SELECT name FROM parquet_schema({_literal(path)}) WHERE num_children IS NULL"
    names = [str(row[0]) for row in connection.execute(schema).fetchall()]
    aliases = ", ".join(f"c{i}" for i in range(len(names)))
    words = ", ".join(map(quoted, missing))
    values = ", ".join(
        f"CASE WHEN c{i} IN ({words}) THEN NULL ELSE c{i} END AS c{i}" if row[1] == "VARCHAR" else f"c{i}"
        for i, row in enumerate(described)
    )
    connection.execute(f"CREATE TABLE rows AS SELECT {values} FROM {reader} AS t({aliases})")
    return names


def _settled(connection: duckdb.DuckDBPyConnection, names: Sequence[str], is_parquet: bool) -> list[str]:
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
        found = connection.execute(
            f"SELECT count({key}), count(*) FILTER (regexp_matches({key}, {quoted(CODE)})), "
            f"count(*) FILTER (regexp_matches({key}, '^[0-9]{{4,}}$')), min(length({key})) = max(length({key})), "
            f"count(*) FILTER (regexp_matches({key}, {quoted(ZONE)})), "
            f"count(*) FILTER (regexp_matches({key}, '[0-9]-[0-9]|[0-9]/[0-9]')), {', '.join(casts.values())} FROM rows"
        ).fetchone()
        assert found is not None
        known, n_codes, n_digits, is_one_length, n_zoned, n_dates, *n_of = found
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
    found = connection.execute(f"SELECT 1 FROM rows WHERE {key} LIKE '%:%' LIMIT 1").fetchone()
    return found is not None


def _with_zones_in_utc(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
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
    found = connection.execute(f"SELECT {counts} FROM rows").fetchone() if floats else ()
    for key in (key for key, n in zip(floats, found or (), strict=True) if n):
        connection.execute(f"UPDATE rows SET {key} = NULL WHERE isnan({key})")
    return notes


def told_of_zone(name: str) -> str:
    what = f"the times of {name!r} have a zone: weekday, month and hour are those of UTC"
    return f"{what}, as which one without a zone is read; if the place's matter, write times without a zone"


def _trimmed(connection: duckdb.DuckDBPyConnection, names: Sequence[str], missing: Sequence[str]) -> list[str]:
    """Takes off the blanks around words; where that makes values one, a note."""
    notes = []
    for name, (key, kind, *_) in zip(names, connection.execute("DESCRIBE rows").fetchall(), strict=True):
        if kind != "VARCHAR":
            continue
        found = connection.execute(
            f"SELECT count(DISTINCT {key}), count(DISTINCT trim({key}, {BLANKS})) FROM rows WHERE {key} IS NOT NULL"
        ).fetchone()
        has_blanks = connection.execute(f"SELECT 1 FROM rows WHERE {key} <> trim({key}, {BLANKS}) LIMIT 1").fetchone()
        if has_blanks and found:
            words = ", ".join(map(quoted, missing))
            value = f"CASE WHEN trim({key}, {BLANKS}) IN ({words}) THEN NULL ELSE trim({key}, {BLANKS}) END"
            connection.execute(f"UPDATE rows SET {key} = {value} WHERE {key} <> trim({key}, {BLANKS})")
            if found[1] < found[0]:
                what = f"has values that differ by blanks around them alone: {found[0]}, without them {found[1]}"
                notes.append(f"the column {name!r} {what}; they are taken for one")
    return notes


def _without(
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
