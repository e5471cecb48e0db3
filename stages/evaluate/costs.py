"""All that follows from seconds: costs.json. Of two honest runs nothing else differs but the report made of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from stages.common.artefacts import Json
from stages.evaluate.advice import Advised, Option
from stages.evaluate.params import AdviceRules
from stages.evaluate.spread import CellName


def costs_of(
    advised: Advised, timings: Mapping[CellName, Json], tuning: Mapping[str, Json], rules: AdviceRules
) -> Json:
    """What cells took, what options cost, which one that pays is the cheapest for its gain, and what to run next.

    timings: of each cell, tuning: of each learner, `fit_seconds` and `host`.
    """
    seconds = {cell: float(timing["fit_seconds"]) for cell, timing in timings.items()}
    prices = [priced(option, seconds, rules) for option in advised.options]
    return {
        "cells": [
            {"learner": learner, "n_train": n_train, "fit_seconds": timing["fit_seconds"]} | timing["host"]
            for (learner, n_train), timing in timings.items()
        ],
        "tuning": [{"learner": name, "fit_seconds": timing["fit_seconds"]} for name, timing in tuning.items()],
        "options": prices,
        "choice": choice_of(advised.options, prices, rules),
        "next_cell": next_cell(advised.telling, seconds),
    }


def priced(option: Option, seconds: Mapping[CellName, float], rules: AdviceRules) -> Json:
    """labels, seconds of the new cell, and money in the currency of the config; None where a cost that it has is not
    set. gain_per_money: the median gain over that."""
    n_last = max(n for name, n in seconds if name == option.learner)
    is_data = option.name == "more data"
    taken = seconds_at_twice(seconds, option.learner) if is_data else 2 * seconds[option.learner, n_last]
    per_label = 0.0 if option.labels == 0 else rules.cost_per_label
    money = None
    if per_label is not None and rules.cost_per_hour is not None:
        money = option.labels * per_label + taken / 3600 * rules.cost_per_hour
    return {"option": option.name, "learner": option.learner, "labels": option.labels, "seconds": round(taken, 1),
            "money": money, "gain_per_money": float(np.median(option.gains)) / money if money else None}  # fmt: skip


def seconds_at_twice(seconds: Mapping[CellName, float], learner: str) -> float:
    """Of the learner's cell at twice its largest size: from the ratio of its last two cells, within 1 and 4."""
    sizes = sorted(n for name, n in seconds if name == learner)
    last = seconds[learner, sizes[-1]]
    if len(sizes) < 2:
        return 2 * last
    per_doubling = (last / seconds[learner, sizes[-2]]) ** (1 / np.log2(sizes[-1] / sizes[-2]))
    return last * float(np.clip(per_doubling, 1, 4))


def choice_of(options: Sequence[Option], prices: Sequence[Json], rules: AdviceRules) -> str | None:
    """Of the options that pay the one that brings most for its price; None where none pays or a price is not set."""
    paying = [
        price for option, price in zip(options, prices, strict=True)
        if option.probability(rules.min_gain) >= rules.certainty
    ]  # fmt: skip
    if not paying or any(price["gain_per_money"] is None for price in paying):
        return None
    return str(max(paying, key=lambda price: price["gain_per_money"])["option"])


def next_cell(telling: Sequence[Json], seconds: Mapping[CellName, float]) -> Json | None:
    """The cell that is expected to take most variance from an undecided gain per second it runs; None if none is."""
    candidates: list[Json] = []
    for cell in telling:
        learner, n_train = cell["learner"], cell["n_train"]
        is_data = cell["shows"] == "more data"
        taken = seconds_at_twice(seconds, learner) if is_data else 2 * seconds[learner, n_train]
        name = learner if is_data else f"{learner} with twice the parameters"
        per_second = cell["variance_taken"] / max(taken, 1e-3)
        candidates.append(cell | {"learner": name, "seconds": round(taken, 1), "variance_per_second": per_second})
    return max(candidates, key=lambda cell: cell["variance_per_second"], default=None)
