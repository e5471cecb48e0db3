"""What a person should look at in a column: numbers and dates written otherwise, values that may mean missing."""

from typing import Any

from stages.prepare.files.database import Column, Rows, quoted

MOST_WORDS = 2  # that may stand among numbers or dates
LEAST_DIGITS = 30  # distinct words that begin with digits, to be asked whether they are numbers
LEAST_NUMBERS = 10  # distinct ones, for words among them to be no categories
MOST_SENTINELS = 3  # values that mean missing, in a column
SENTINEL_SHARE = 0.01  # of the rows, from which on a number far from all others is asked about
DATE_FORMATS = [
    f"{day}{clock}"
    for day in ("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%d/%m/%y", "%m/%d/%Y", "%m/%d/%y", "%d-%m-%Y", "%d-%m-%y",
                "%b %d %Y", "%b %d, %Y", "%d %b %Y", "%d-%b-%Y", "%d%b%Y", "%B %d, %Y", "%d %B %Y", "%Y.%m.%d",
                "%a %d %b %Y", "%a, %d %b %Y")
    for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S", ", %H:%M",
                  ", %H:%M:%S", ":%H:%M:%S", " %H:%M:%S %z")
] + ["%a %b %d %H:%M:%S %Y"]  # fmt: skip
_BLANK = r"[\s\x{00A0}\x{2009}\x{202F}]"
_CURRENCY = r"(?:[$€£¥₹₽₩]|R\$|Rs\.?|kr\.?|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|CAD|AUD|NZD|BRL|ZAR|TRY)"
_DIGITS = rf"(?:\d{{1,3}}(?:[.,'\x{{2019}}]\d{{3}}|{_BLANK}\d{{3}})+|\d+)(?:[.,]\d+)?"
SPELT = (
    rf"^\(?{_BLANK}*[-+\x{{2212}}\x{{2013}}]?{_BLANK}*(?:{_CURRENCY})?{_BLANK}*[-+\x{{2212}}\x{{2013}}]?{_DIGITS}{_BLANK}*"
    rf"((?:{_CURRENCY}|[%‰+°]|[\p{{L}}µ]{{1,6}}[²³]?(?:/[\p{{L}}]{{1,4}}[²³]?)?)?)\)?$"
)
_MAGNITUDES = ("", "k", "m", "b", "t", "bn", "mn", "mio", "mrd", "tsd", "mm")  # that a column of amounts mixes


def written_otherwise(rows: Rows, key: str, known: int) -> str:
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


def is_mostly_numeric(rows: Rows, key: str, kind: str) -> bool:
    if kind != "VARCHAR":
        return True
    known, numeric = rows.one(f"SELECT count({key}), count(TRY_CAST({key} AS DOUBLE)) FROM rows")
    return bool(known) and numeric >= 0.5 * known


def thousands(rows: Rows, column: Column) -> list[str]:
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


def oddities(rows: Rows, column: Column, known: int) -> list[str]:
    """What the user should look at in a column of words that is kept."""
    if column.type != "VARCHAR":
        return []
    if is_mostly_numeric(rows, column.key, column.type):
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


def sentinels(rows: Rows, column: Column) -> list[str]:
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
