"""What the columns of a user's table are: numbers, dates, categories, or nothing to learn from."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stages.common.artefacts import Json
from stages.common.errors import InputError
from stages.prepare.reading import CODE, ZONE, Rows, quoted, told_of_zone

LARGEST = 3e38  # number that 32 bits hold
MOST_WORDS = 2  # that may stand among numbers or dates
LEAST_DIGITS = 30  # distinct words that begin with digits, to be asked whether they are numbers
LEAST_NUMBERS = 10  # distinct ones, for words among them to be no categories
MOST_SENTINELS = 3  # values that mean missing, in a column
SENTINEL_SHARE = 0.01  # of the rows, from which on a number far from all others is asked about
ID_NAME = re.compile(
    r"(^|[^a-z])(id|uuid|guid|index|key)$|[a-z]Id$|^unnamed: ?\d+$|^row_?(name|label|number)s?$", re.IGNORECASE
)
ROW_LABELS = re.compile(r"__index_level_\d+__")  # as pandas calls a frame's labels in Parquet
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip
DATES = ("DATE", "TIMESTAMP")
DATE_FORMATS = [
    f"{day}{clock}"
    for day in ("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%d/%m/%y", "%m/%d/%Y", "%m/%d/%y", "%d-%m-%Y", "%d-%m-%y",
                "%b %d %Y", "%b %d, %Y", "%d %b %Y", "%d-%b-%Y", "%d%b%Y", "%B %d, %Y", "%d %B %Y", "%Y.%m.%d",
                "%a %d %b %Y", "%a, %d %b %Y")
    for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S", ", %H:%M",
                  ", %H:%M:%S", ":%H:%M:%S", " %H:%M:%S %z")
] + ["%a %b %d %H:%M:%S %Y"]  # fmt: skip
# Numbers as other programs and people write them, in DuckDB's regular expressions.
_BLANK = r"[\s\x{00A0}\x{2009}\x{202F}]"
_CURRENCY = r"(?:[$€£¥₹₽₩]|R\$|Rs\.?|kr\.?|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|CAD|AUD|NZD|BRL|ZAR|TRY)"
_DIGITS = rf"(?:\d{{1,3}}(?:[.,'\x{{2019}}]\d{{3}}|{_BLANK}\d{{3}})+|\d+)(?:[.,]\d+)?"
SPELT = (
    rf"^\(?{_BLANK}*[-+\x{{2212}}\x{{2013}}]?{_BLANK}*(?:{_CURRENCY})?{_BLANK}*[-+\x{{2212}}\x{{2013}}]?{_DIGITS}{_BLANK}*"
    rf"((?:{_CURRENCY}|[%‰+°]|[\p{{L}}µ]{{1,6}}[²³]?(?:/[\p{{L}}]{{1,4}}[²³]?)?)?)\)?$"
)
_MAGNITUDES = ("", "k", "m", "b", "t", "bn", "mn", "mio", "mrd", "tsd", "mm")  # that a column of amounts mixes
LIMIT = r"^(?:[<>≤≥]=?\s*([-+]?\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*\+)$"  # <0.05, >= 3, 1000+


@dataclass(frozen=True)
class Column:
    """A column of the file: `key` is its name in the database, `kind` what becomes of it."""

    key: str
    name: str
    type: str
    kind: str  # numeric | categorical | date | timestamp
    missing: int
    origin: float | int  # taken off a number or a time (in seconds), so that 32 bits tell its values apart


def learnable(rows: Rows, special: set[str], target: str) -> tuple[list[Column], list[Json], list[str]]:
    """The columns to learn from, those left out and why, and what the user should look at."""
    columns, left_out, warnings = [], [], []
    for i, name in enumerate(rows.names):
        key = f"c{i}"
        if key in special:
            continue
        if ROW_LABELS.fullmatch(name):
            left_out.append({"column": name, "reason": "row labels that pandas wrote beside the data"})
            continue
        notes = _with_words_among_them(rows, key, name) if rows.type(key) == "VARCHAR" else []
        warnings += notes
        kind = rows.type(key)
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
            warnings += _oddities(rows, columns[-1], known) + _thousands(rows, columns[-1])
            warnings += [] if notes else _sentinels(rows, columns[-1])
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


def _with_words_among_them(rows: Rows, key: str, name: str) -> list[str]:
    """Numbers, or dates, among which stand one or two words become such, the words missing; a note says so.

    A value that names a limit, as <0.05 or 1000+, becomes the limit.
    """
    limit = f"TRY_CAST(coalesce(nullif(regexp_extract({key}, {quoted(LIMIT)}, 1), ''), "
    limit += f"nullif(regexp_extract({key}, {quoted(LIMIT)}, 2), '')) AS DOUBLE)"
    numbers = f"coalesce(TRY_CAST({key} AS DOUBLE), {limit})"
    is_coded = rows.where(f"regexp_matches({key}, {quoted(CODE)})")[0] > 0
    n_zoned = rows.where(f"regexp_matches({key}, {quoted(ZONE)})")[0]
    time = f"make_timestamp(epoch_us(TRY_CAST({key} AS TIMESTAMPTZ)))" if n_zoned else f"TRY_CAST({key} AS TIMESTAMP)"
    for kind, value, plain in (
        ("DOUBLE", numbers, f"TRY_CAST({key} AS DOUBLE)"),
        ("TIMESTAMP", time, time),
    ):
        if kind == "DOUBLE" and is_coded:
            continue
        if rows.one(f"SELECT count(DISTINCT {plain}) FROM rows")[0] < LEAST_NUMBERS:
            continue
        words = _counted(rows, key, f"{key} IS NOT NULL AND {value} IS NULL", MOST_WORDS + 1)
        limits = _counted(rows, key, f"{plain} IS NULL AND {value} IS NOT NULL", 3)
        if len(words) > MOST_WORDS or not (words or limits):  # numbers alone, written as words: codes
            continue
        what = [f"{word!r} in {n} rows counts as missing" for word, n in words]
        what += [f"{word!r} in {n} rows counts as its number" for word, n in limits]
        rows.retype(key, kind, value)
        zone = [told_of_zone(name)] if kind == "TIMESTAMP" and n_zoned else []
        return [
            f"the column {name!r} is read as {'numbers' if kind == 'DOUBLE' else 'dates'}: {'; '.join(what)}",
            *zone,
        ]
    return []


def _counted(rows: Rows, key: str, condition: str, n_most: int) -> list[tuple[str, int]]:
    """The most frequent values of the rows that meet the condition, and how many have each."""
    query = f"SELECT {key}, count(*) AS n FROM rows WHERE {condition} GROUP BY 1 ORDER BY n DESC, 1 LIMIT {n_most}"
    return [(str(value), int(n)) for value, n in rows.connection.execute(query).fetchall()]


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
    return bool(known) and numeric >= 0.5 * known


def _written_otherwise(rows: Rows, key: str, known: int) -> str:
    """What a column of text holds, where it is numbers or dates as other programs write them, and the remedy."""
    bare = f"regexp_replace({key}, '[\\s$€£%]', '', 'g')"
    numbers = f"coalesce(TRY_CAST(replace({bare}, ',', '.') AS DOUBLE), TRY_CAST(replace({bare}, ',', '') AS DOUBLE))"
    dates = f"try_strptime({key}, [{', '.join(map(quoted, DATE_FORMATS))}])"
    n_plain, n_numbers, n_dates, example = rows.one(
        f"SELECT count(TRY_CAST({key} AS DOUBLE)), count({numbers}), count({dates}), min({key}) FROM rows"
    )
    words = f"SELECT count(DISTINCT {key}) FROM rows WHERE {key} IS NOT NULL AND {dates} IS NULL"
    if n_dates and (n_dates >= 0.9 * known or rows.one(words)[0] <= MOST_WORDS):
        example = rows.one(f"SELECT min({key}) FROM rows WHERE {dates} IS NOT NULL")[0]
        return f"dates such as {example!r}, whose order of day and month is not certain; write them as 2020-12-31"
    if n_numbers >= 0.9 * known > n_plain or (example := _spelt_number(rows, key)):
        return f"numbers such as {example!r}; write them with a point and without other signs, as 1234.5"
    return ""


def _thousands(rows: Rows, column: Column) -> list[str]:
    """A question about a column of numbers whose point may separate thousands: whole numbers, most of three digits,
    beside numbers from 1 up of exactly three decimals, each of them often."""
    key = column.key
    if column.type not in ("FLOAT", "DOUBLE"):
        return []
    is_whole, value = f"{key} = floor({key})", f"CAST({key} AS DOUBLE)"
    known, n_whole, n_hundreds, least, most, n_three, n_all, example = rows.one(
        f"SELECT count({key}), count(*) FILTER ({is_whole}), count(*) FILTER ({is_whole} AND {key} >= 100), "
        f"min({key}), max({key}) FILTER ({is_whole}), "
        f"count(*) FILTER (NOT {is_whole} AND abs({value} * 100 - round({value} * 100)) > 1e-6), "
        f"count(*) FILTER (NOT {is_whole} AND abs({value} * 1000 - round({value} * 1000)) < 1e-6), "
        f"min({key}) FILTER (NOT {is_whole}) FROM rows"
    )
    n_parts = known - n_whole
    if (
        n_parts < 5
        or n_whole < 0.05 * known
        or n_hundreds < 0.7 * n_whole
        or n_all < n_parts
        or n_three < 0.5 * n_parts
    ):
        return []
    if most >= 1000 or least < 0 or example < 1:
        return []
    what = f"has numbers such as {_plain(example)} beside whole ones to {_plain(most)}"
    return [f"the column {column.name!r} {what}: if the point separates thousands, write 1069 and not 1.069"]


def _spelt_number(rows: Rows, key: str) -> str | None:
    """An example of numbers with a sign, a unit or groups of digits; None where the column holds words or codes.

    All but one or two different values are such numbers, and no more than two different units stand behind them.
    """
    is_plain, is_spelt = f"TRY_CAST({key} AS DOUBLE) IS NOT NULL", f"regexp_matches({key}, {quoted(SPELT)})"
    n_words, n_numbers, example = rows.one(
        f"SELECT count(DISTINCT CASE WHEN NOT ({is_plain} OR {is_spelt}) THEN {key} END), "
        f"count(DISTINCT CASE WHEN {is_plain} OR {is_spelt} THEN {key} END), "
        f"min(CASE WHEN {is_spelt} AND NOT {is_plain} THEN {key} END) FROM rows"
    )
    if example is None or n_words > MOST_WORDS or n_numbers < LEAST_NUMBERS:
        return None
    unit = f"lower(regexp_extract({key}, {quoted(SPELT)}, 1))"
    units = set(rows.values(f"SELECT DISTINCT {unit} FROM rows WHERE {is_spelt}")) - set(_MAGNITUDES)
    are_codes = sum(len(unit) == 1 and unit.isalpha() for unit in units) > 1  # 12A, 12C
    return None if are_codes or len(units) > 2 else example


def _is_id(rows: Rows, key: str, name: str, kind: str, known: int, low: Any, high: Any) -> bool:
    """A text, or a whole number that counts or is called an id, of which no two rows have the same."""
    if known < rows.n_rows or kind.startswith(("FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", *DATES)):
        return False
    if kind.startswith(NUMBERS) and not (ID_NAME.search(name) or high - low < 1.1 * rows.n_rows):
        return False
    return bool(rows.one(f"SELECT count(DISTINCT {key}) FROM rows")[0] == rows.n_rows)


def _oddities(rows: Rows, column: Column, known: int) -> list[str]:
    """What the user should look at in a column of words that is kept."""
    if column.type != "VARCHAR":
        return []
    if _is_mostly_numeric(rows, column.key, column.type):
        is_odd = f"{column.key} IS NOT NULL AND TRY_CAST({column.key} AS DOUBLE) IS NULL"
        if n_odd := rows.where(is_odd)[0]:
            example = rows.one(f"SELECT {column.key} FROM rows WHERE {is_odd} LIMIT 1")[0]
            what = f"looks like numbers but for {n_odd} values such as {example!r}"
            return [f"the column {column.name!r} {what}; it is taken as categories"]
    n_distinct = rows.one(f"SELECT count(DISTINCT {column.key}) FROM rows")[0]
    n_like, example = rows.one(f"SELECT count(*), min({column.key}) FROM rows WHERE {_like_numbers(column.key)}")
    if n_distinct >= LEAST_DIGITS and n_like >= 0.9 * known:
        what = f"is read as words, such as {example!r}, of which nearly all begin with digits"
        return [f"the column {column.name!r} {what}; numbers are written as 1234.5, dates as 2020-12-31"]
    if n_distinct > known / 2:
        return [f"the column {column.name!r} has {n_distinct} values in {known} rows: learners see the frequent ones"]
    return []


def _like_numbers(key: str) -> str:
    """Does a word begin with digits, after three other signs or a short name of a currency, and hold another sign?"""
    start = r"^([^\p{L}\d]{0,3}|\p{L}{1,3}[.$ ]{0,2})\d"
    return f"regexp_matches({key}, '{start}') AND regexp_matches({key}, '\\D')"


def _sentinels(rows: Rows, column: Column) -> list[str]:
    """A question about frequent numbers or dates that may mean "missing".

    One to three of the lowest or of the highest values, as far from all others as these are from one another, or below
    0 where no other is; of others that are few, five times as far.
    """
    if column.kind == "categorical":
        return []
    is_number = column.kind == "numeric"
    key = column.key
    value = key if is_number else f"epoch({key}) / 86400"
    lowest, highest, n_distinct = rows.one(f"SELECT min({value}), max({value}), count(DISTINCT {key}) FROM rows")
    found = []
    for order, sign in (("ASC", 1), ("DESC", -1)):
        query = f"SELECT {value}, CAST({key} AS VARCHAR), count(*) FROM rows WHERE {key} IS NOT NULL GROUP BY {key} "
        ends = rows.connection.execute(f"{query} ORDER BY {key} {order} LIMIT {MOST_SENTINELS + 1}").fetchall()
        for k in range(min(MOST_SENTINELS, len(ends) - 1), 0, -1):
            n_rest, gap = n_distinct - k, sign * (float(ends[k][0]) - float(ends[k - 1][0]))
            others = sorted((float(ends[k][0]), float(highest if sign > 0 else lowest)))
            are_frequent = all(n >= max(5, SENTINEL_SHARE * rows.n_rows) for _, _, n in ends[:k])
            least = 1 if n_rest >= LEAST_NUMBERS else 5
            is_far = n_rest >= 3 and others[1] > others[0] and gap >= least * (others[1] - others[0])
            is_below = is_number and sign > 0 and ends[k - 1][0] < 0 <= others[0] and n_rest >= LEAST_NUMBERS
            if are_frequent and (is_far or is_below):
                found += [_question(rows, column, text, n, ends[k][1]) for _, text, n in ends[:k]]
                break
    return found


def _question(rows: Rows, column: Column, text: str, n: int, nearest: str) -> str:
    value, next_one = (text, nearest) if column.kind != "numeric" else (_plain(text), _plain(nearest))
    said = f"'{value}'" if column.kind != "numeric" else value
    return (
        f"the column {column.name!r} has {value} in {n} rows ({n / rows.n_rows:.0%}), apart from all other values (the "
        f"next is {next_one}): if it means missing, say dataset.missing=[{said}]"
    )


def _plain(value: Any) -> str:
    return f"{float(value):.10g}"


def expressions(column: Column) -> list[tuple[str, str, str]]:
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
