"""advice.json: what twice the data and what twice the network would bring, and what to do; no prices."""

from typing import Literal

from stages.common.records import Record

Answer = Literal["more data", "bigger network", "stop", "cannot tell yet"]
OptionName = Literal["more data", "bigger network", "both"]
WayName = Literal[OptionName, "tuning", "engineered features", "another learner"]


class Gain(Record):
    """In units of the metric, better is positive."""

    median: float
    low80: float
    high80: float


class Option(Record):
    """gain: over the best learner of today; own_gain: over the option's own learner; probability: of a gain above
    min_gain; labels: how many more it takes."""

    option: OptionName
    learner: str
    change: str
    gain: Gain
    own_gain: Gain
    probability: float
    pays: bool
    labels: int


class WayToImprove(Record):
    """gain: over the learner `over` at the same number of labels, with twice the labels over today's; own_gain: over
    the same learner, where that is another one than `over`; probability: of a gain above min_gain, None of what was
    measured."""

    way: WayName
    learner: str
    over: str
    is_forecast: bool
    gain: Gain
    own_gain: Gain | None = None
    probability: float | None = None
    labels: int = 0


class Enough(Record):
    """With which probability no learner is more than min_gain above the simple one."""

    learner: str
    probability: float


class LawValue(Record):
    value: float
    low80: float
    high80: float


class Hidden(Record):
    """How far the joint law misses what was hidden from it."""

    hidden: str
    mean_log_error: float


class Law(Record):
    """loss = floor + of_parameters * N^-alpha + of_labels * D^-beta, in scaled units; misfit: its relative error."""

    misfit: float
    backtest: list[Hidden]
    floor: LawValue
    of_parameters: LawValue
    of_labels: LawValue
    alpha: LawValue
    beta: LawValue


class Until(Record):
    """Labels until a learner reaches the target; n_labels is None where it is not within reach."""

    learner: str
    is_measured: bool | None = None
    n_labels: int | None = None
    low80: int | None = None
    high80: int | None = None
    not_forecast: str | None = None


class LabelsUntil(Record):
    target: float
    learners: list[Until]


class Advice(Record):
    """best_value is in units of the metric; certainty: the probability that an advice needs; ways: the best first, and
    not_tested the names of those that the study lacks the cells for."""

    answer: Answer
    reason: str
    n_train: int
    n_pool: int
    best_learner: str | None = None
    best_value: float | None = None
    min_gain: float | None = None
    certainty: float | None = None
    simple_is_enough: Enough | None = None
    options: list[Option]
    joint_law: Law | None = None
    labels_until: LabelsUntil | None = None
    ways: tuple[WayToImprove, ...] = ()
    not_tested: tuple[WayName, ...] = ()
