"""CSV files: their delimiter, quotes and ends of lines."""

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from stages.common.errors import InputError
from stages.prepare.files.database import literal, quoted

DELIMITERS = ",;\t|"
MOST_OF_A_LINE = 20_000_000  # bytes
HEADER_BYTES = 1_000_000  # in which the first records of a CSV must end


def read_csv(
    connection: duckdb.DuckDBPyConnection, path: Path, missing: Sequence[str], folder: Path
) -> tuple[list[str], list[str]]:
    """The names of the columns, and what a person may not expect."""
    delimiter, names = header(path)
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
        return _read_into(connection, table, text, delimiter, quote, aliases, missing)

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


def _read_into(
    connection: duckdb.DuckDBPyConnection, table: str, path: Path, delimiter: str, quote: str, aliases: str,
    missing: Sequence[str],
) -> int:  # fmt: skip
    """Makes a table of the file; how many rows it has."""
    connection.execute(
        f"CREATE TABLE {table} AS SELECT * FROM read_csv({literal(path)}, delim={quoted(delimiter)}, header=true, "
        # No BOOLEAN: yes and no stay words.
        f"auto_type_candidates=['BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'TIMESTAMPTZ', 'VARCHAR'], "
        f"dateformat='%Y-%m-%d', comment='', hive_partitioning=false, max_line_size={MOST_OF_A_LINE}, "
        f"skip=0, quote={quoted(quote)}, escape={quoted(quote)}, sample_size=-1, "
        f"nullstr=[{', '.join(map(quoted, missing))}]) AS t({aliases})"
    )
    found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found[0]) if found else 0


def _lines(path: Path) -> tuple[int, dict[str, int]]:
    """How many lines are not empty, and how many end in which way."""
    n_lines, ends = 0, Counter[str]()
    with opened_as_bytes(path) as file:
        for line in file:
            ends["CRLF" if line.endswith(b"\r\n") else "LF"] += line.endswith(b"\n")
            n_lines += bool(line.strip(b"\r\n"))
    return n_lines, {name: n for name, n in ends.items() if n}


def _records(path: Path, delimiter: str) -> int:
    """How many records are not empty, as Python reads them; a quoted field may go over several lines."""
    with opened_as_bytes(path) as file:
        return sum(map(bool, csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""), delimiter=delimiter)))


def _with_one_line_end(path: Path, target: Path) -> None:
    with opened_as_bytes(path) as file, target.open("wb") as copy:
        for line in file:
            copy.write(line[:-2] + b"\n" if line.endswith(b"\r\n") else line)


def _has_quotes(path: Path) -> bool:
    with opened_as_bytes(path) as file:
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


def header(path: Path) -> tuple[str, list[str]]:
    """The delimiter, and the names as they stand in the file: DuckDB renames those that are empty or repeated."""
    try:
        with opened_as_bytes(path) as file:
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


def opened_as_bytes(path: Path) -> Any:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")
