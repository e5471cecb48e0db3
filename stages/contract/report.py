"""report.json: everything that the report says, in its language; report.html and report.md are made of it."""

from stages.common.records import Record


class Table(Record):
    """rows: as many cells each as head has; the first of a row is its name."""

    caption: str
    head: list[str]
    rows: list[list[str]]


class Holds(Record):
    """One line of what the answer holds for."""

    what: str
    text: str


class Statement(Record):
    """A statement of the chapter with its verdict. number: the effect with its interval, empty where none was found."""

    id: str
    title: str
    verdict: str
    symbol: str
    word: str
    text: str
    number: str


class Answer(Record):
    """headline: the answer in a sentence or two; interval: what an interval means, and a value of the metric."""

    headline: str
    sentences: list[str]
    interval: list[str]
    holds: list[Holds]


class Ways(Record):
    """labels: how many more twice the data takes, of which prices_of_labels tells what they cost."""

    table: Table
    notes: list[str]
    labels: int
    prices_of_labels: Table | None


class Picture(Record):
    """A figure: what it shows, and what it shows of this study."""

    name: str
    title: str
    found: str


class Report(Record):
    language: str
    title: str
    studied: str
    answer: Answer
    marked: list[str]
    warnings: list[str]
    ways: Ways
    statements: list[Statement]
    statements_note: str
    equal: list[str]
    equal_tables: list[Table]
    forecast: list[str]
    forecast_tables: list[Table]
    tables: list[Table]
    classes: Table
    data: list[Holds]
    columns: Table
    run: list[str]
    run_tables: list[Table]
    commands: list[str]
    glossary: list[Holds]
    cite: str
    pictures: list[Picture]
