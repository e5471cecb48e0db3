"""claims.json: the chapter's statements, each with its verdict and the evidence."""

from typing import Literal

from stages.common.records import Record

Verdict = Literal["supported", "refuted", "inconclusive", "not tested"]


class Step(Record):
    """One learner against another at the largest size."""

    better: str
    than: str
    gain: float
    low: float
    high: float
    p_supported: float
    p_refuted: float


class Engineered(Record):
    """A learner with engineered features against the same with raw ones, at the smallest size."""

    engineered: str
    raw: str
    gain: float
    low: float
    high: float


class Way(Record):
    """What one way to improve brought. cells: learner, size and weight of each cell of the difference."""

    way: str
    gain: float
    cells: list[tuple[str, int, int | float]]
    low: float
    high: float


class Evidence(Record):
    """Why. p values are one-sided and adjusted, None where nothing was tested; effects are in units of the metric,
    better is positive, but for small_data, where they are Kendall's tau. What follows p_refuted differs by statement:
    margin is the smallest gain, test how it was tested.
    """

    reason: str
    effect: float | None
    low: float | None
    high: float | None
    p_supported: float | None
    p_refuted: float | None
    learner: str | None = None
    cell: tuple[str, int] | None = None
    n_train: int | None = None
    network: str | None = None
    other: str | None = None
    probability: float | None = None
    probability_of_best: dict[str, float] | None = None
    settled_tau: float | None = None
    order: list[str] | None = None
    final_order: list[str] | None = None
    tau_by_size: dict[str, float] | None = None
    engineered: list[Engineered] | None = None
    ways: list[Way] | None = None
    not_tested: list[str] | None = None
    margin: float | None = None
    test: str | None = None
    tests: list[Step] | None = None


class Claim(Record):
    id: str
    statement: str
    verdict: Verdict
    evidence: Evidence
