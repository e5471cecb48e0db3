"""All that follows from seconds: costs.json. Of two honest runs nothing else differs but the report made of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from stages.contract.advice import WayToImprove
from stages.contract.cell import Timing
from stages.contract.costs import CellCost, Costs, NextCell, Price, TuningCost
from stages.evaluate.advice import Advised, Option, Telling
from stages.evaluate.params import AdviceRules
from stages.evaluate.sums import CellName


def costs_of(
    advised: Advised, ways: Sequence[WayToImprove], timings: Mapping[CellName, Timing], tuning: Mapping[str, Timing],
    rules: AdviceRules,
) -> Costs:  # fmt: skip
    """What cells took, what ways cost, which option that pays is the cheapest for its gain, and what to run next.

    timings: of each cell; tuning: of each learner.
    """
    seconds = {cell: timing.fit_seconds for cell, timing in timings.items()}
    of_tuning = {learner: timing.fit_seconds for learner, timing in tuning.items()}
    prices = [priced(option.name, option.learner, option.labels, seconds_of(option.name, option.learner, seconds),
                     float(np.median(option.gains)), rules) for option in advised.options]  # fmt: skip
    more = [way for way in ways if way.way not in {price.option for price in prices}]
    of_ways = [priced(way.way, way.learner, way.labels,
                      of_tuning[way.learner] if way.way == "tuning" else seconds_of(way.way, way.learner, seconds),
                      way.gain.median, rules) for way in more]  # fmt: skip
    return Costs(
        cells=[
            CellCost(
                learner=learner,
                n_train=n_train,
                fit_seconds=timing.fit_seconds,
                system=timing.host.system,
                processor=timing.host.processor,
                instructions=timing.host.instructions,
                linear_algebra=timing.host.linear_algebra,
                cores=timing.host.cores,
            )
            for (learner, n_train), timing in timings.items()
        ],
        tuning=[TuningCost(learner=name, fit_seconds=timing.fit_seconds) for name, timing in tuning.items()],
        options=prices + of_ways,
        choice=choice_of(advised.options, prices, rules),
        next_cell=next_cell(advised.telling, seconds),
    )


def priced(way: str, learner: str, labels: int, taken: float, gain: float, rules: AdviceRules) -> Price:
    """What a way costs: labels, seconds, and money where both have a price in the config."""
    per_label = 0.0 if labels == 0 else rules.cost_per_label
    money = None
    if per_label is not None and rules.cost_per_hour is not None:
        money = labels * per_label + taken / 3600 * rules.cost_per_hour
    return Price(option=way, learner=learner, labels=labels, seconds=round(taken, 1), money=money,
                 gain_per_money=gain / money if money else None)  # fmt: skip


def seconds_of(way: str, learner: str, seconds: Mapping[CellName, float]) -> float:
    """Of the cell that a way asks for: twice the labels, twice the network, both, or the cell that was measured."""
    last = seconds[learner, max(n for name, n in seconds if name == learner)]
    if way in ("more data", "both"):
        return seconds_at_twice(seconds, learner) * (2 if way == "both" else 1)
    return 2 * last if way == "bigger network" else last


def seconds_at_twice(seconds: Mapping[CellName, float], learner: str) -> float:
    """Of the learner's cell at twice its largest size: from the ratio of its last two cells, within 1 and 4."""
    sizes = sorted(n for name, n in seconds if name == learner)
    last = seconds[learner, sizes[-1]]
    if len(sizes) < 2:
        return 2 * last
    per_doubling = (last / seconds[learner, sizes[-2]]) ** (1 / np.log2(sizes[-1] / sizes[-2]))
    return last * float(np.clip(per_doubling, 1, 4))


def choice_of(options: Sequence[Option], prices: Sequence[Price], rules: AdviceRules) -> str | None:
    """Of the options that pay the one that brings most for its price; None where none pays or a price is not set."""
    paying = [
        price for option, price in zip(options, prices, strict=True)
        if option.probability(rules.min_gain) >= rules.certainty
    ]  # fmt: skip
    gains = {price.option: price.gain_per_money for price in paying if price.gain_per_money is not None}
    return max(gains, key=lambda name: gains[name]) if gains and len(gains) == len(paying) else None


def next_cell(telling: Sequence[Telling], seconds: Mapping[CellName, float]) -> NextCell | None:
    """The cell that is expected to take most variance from an undecided gain per second it runs; None if none is."""
    candidates = []
    for cell in telling:
        is_data = cell.shows == "more data"
        taken = seconds_at_twice(seconds, cell.learner) if is_data else 2 * seconds[cell.learner, cell.n_train]
        name = cell.learner if is_data else f"{cell.learner} with twice the parameters"
        per_second = cell.variance_taken / max(taken, 1e-3)
        candidates.append(NextCell(learner=name, n_train=cell.n_train, shows=cell.shows,
                                   variance_taken=cell.variance_taken, seconds=round(taken, 1),
                                   variance_per_second=per_second))  # fmt: skip
    return max(candidates, key=lambda cell: cell.variance_per_second, default=None)
