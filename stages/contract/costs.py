"""costs.json: all that follows from seconds, and so differs from run to run."""

from stages.common.records import Record


class CellCost(Record):
    learner: str
    n_train: int
    fit_seconds: float
    system: str
    processor: str
    instructions: str | None = None
    linear_algebra: str | None = None
    cores: int


class TuningCost(Record):
    learner: str
    fit_seconds: float


class Price(Record):
    """money: in the currency of the config, None where a cost is not set; gain_per_money: the median gain over that."""

    option: str
    learner: str
    labels: int
    seconds: float
    money: float | None
    gain_per_money: float | None


class NextCell(Record):
    """What to run next: it takes most variance from an undecided gain per second. shows: which option's gain."""

    learner: str
    n_train: int
    shows: str
    variance_taken: float
    seconds: float
    variance_per_second: float


class Costs(Record):
    """options: of every way to improve; choice: of more data and a bigger network, where they pay, the one that brings
    most for its price."""

    cells: list[CellCost]
    tuning: list[TuningCost]
    options: list[Price]
    choice: str | None
    next_cell: NextCell | None
