"""A verdict with its evidence, and whether cells can be compared at all."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.contract.claims import Claim, Evidence, Verdict
from stages.evaluate.study import Study
from stages.evaluate.sums import CellName

STATEMENTS = {
    "plateau": "The traditional learner flattens: more data stops helping.",
    "small_network": "On the same task a small network does slightly better.",
    "bigger_network": "A medium network does better still, a large one much better.",
    "both_scales": "The best result needs both: the largest network and the most data.",
    "small_data": "With little data the order is not settled: hand-engineered features can decide, "
    "and traditional learners may win.",
    "million": "With a million examples or more, prefer the network.",
    "reliable": "One of the most reliable ways to improve is still a bigger network on more data.",
}


def claim(
    statement: str, verdict: Verdict, reason: str, effect: float | None = None, low: float | None = None,
    high: float | None = None, p_supported: float | None = None, p_refuted: float | None = None, **details: Any,
) -> Claim:  # fmt: skip
    """details: further fields of the evidence; numbers that are not finite become None."""
    numbers = {"effect": effect, "low": low, "high": high, "p_supported": p_supported, "p_refuted": p_refuted}
    known = {key: None if value is None or not np.isfinite(value) else float(value) for key, value in numbers.items()}
    evidence = Evidence.model_validate({"reason": reason} | known | details)
    return Claim(id=statement, statement=STATEMENTS[statement], verdict=verdict, evidence=evidence)


def verdict(p_supported: float, p_refuted: float, alpha: float) -> Verdict:
    if p_supported <= alpha:
        return "supported"
    return "refuted" if p_refuted <= alpha else "inconclusive"


def missing(study: Study, cells: Sequence[CellName]) -> str:
    """Why these cells cannot be compared, or an empty string."""
    known = {cell: study.cell(cell) for cell in cells}
    usable = {cell: scores.is_usable for cell, scores in known.items() if scores and scores.is_usable.sum() > 1}
    lacking = [f"{learner}-{n}" for learner, n in cells if (learner, n) not in usable]
    if not lacking and (unknown := [cell for cell in cells if not study.is_known(cell)]):
        return f"how much draws vary is not known of {named(unknown)}: no size is below half the pool"
    if lacking:
        return f"no cell with two usable replicates: {', '.join(dict.fromkeys(lacking))}"
    if cells and np.logical_and.reduce(list(usable.values())).sum() < 2:
        return f"fewer than two replicates are usable in all of {named(cells)}"
    return ""


def named(cells: Sequence[CellName]) -> str:
    return ", ".join(f"{learner}-{n}" for learner, n in cells)
