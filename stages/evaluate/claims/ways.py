"""Scale against the other ways to improve."""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.contract.claims import Claim, Way
from stages.evaluate.claims.verdicts import claim, missing, named, verdict
from stages.evaluate.params import Claims
from stages.evaluate.study import Study
from stages.evaluate.sums import CellName

TUNED, LISTED_FIRST = " as tuned", " as listed first"  # cells of what a learner was tuned on
Weights = dict[CellName, float]


@dataclass(frozen=True)
class OtherWays:
    """others: each way that the study has, with the sum of cells that it brought; lacking: names of those it has none
    of; unknown: sums of cells that there are but that cannot be compared."""

    others: list[tuple[str, Weights]]
    lacking: list[str]
    unknown: list[Weights]


def reliable(study: Study, rules: Claims) -> Claim:
    """Does the next network with twice the data bring more than tuning, engineered features or another learner did?

    The last two networks and columns, against each other way that the study has: supported where that is clearly more
    than the smallest gain and clearly more than each of them brought (intersection-union), refuted where it clearly
    brought less than the smallest gain, or another way clearly more by that (Bonferroni). Of several pairs of features
    or several learners each counts as a way of its own; intervals hold for all ways at once.
    """
    last, networks = study.sizes[-2:], rules.networks[-2:]
    if len(last) < 2 or len(networks) < 2:
        return claim("reliable", "not tested", "fewer than two sizes or two networks")
    scale: Weights = {(networks[1], last[1]): 1, (networks[0], last[0]): -1}
    if reason := missing(study, list(scale)):
        return claim("reliable", "not tested", reason)
    ways = other_ways(study, rules)
    if not ways.others:
        return claim("reliable", "not tested", f"the study has no other way: {', '.join(ways.lacking)} lack")
    gain = study.estimate(scale)
    leads = [study.estimate(_minus(scale, weights)) for _, weights in ways.others]
    p_supported = 1.0 if ways.unknown else max(gain.p_above(study.smallest_gain), *(lead.p_above(0) for lead in leads))
    against = [gain.p_below(study.smallest_gain), *(lead.p_below(-study.smallest_gain) for lead in leads)]
    p_refuted = min(1.0, len(against) * min(against))
    told = []
    for name, weights in [("a bigger network on more data", scale), *ways.others]:
        brought = study.estimate(weights)
        low, high = brought.interval(1 - 2 * rules.alpha / len(against))
        cells = [(learner, n, weight) for (learner, n), weight in weights.items()]
        told.append(Way(way=name, gain=brought.mean, cells=cells, low=low, high=high))
    told.sort(key=lambda way: -way.gain)
    reason = "; ".join(f"{way.way} brought {way.gain:+.4f}" for way in told)
    reason += f"; not tested: {', '.join(ways.lacking)}" if ways.lacking else ""
    reason += f"; cannot be compared: {named(list(ways.unknown[0]))}" if ways.unknown else ""
    low, high = gain.interval(1 - 2 * rules.alpha)
    return claim(
        "reliable", verdict(p_supported, p_refuted, rules.alpha), reason, gain.mean, low, high, p_supported, p_refuted,
        ways=told, not_tested=ways.lacking, margin=study.smallest_gain,
        test="paired; intersection-union, Bonferroni to refute",
    )  # fmt: skip


def other_ways(study: Study, rules: Claims) -> OtherWays:
    """Tuning and engineered features, and every learner that is neither these nor the simple one nor a network."""
    n_last, largest = study.sizes[-1], rules.networks[-1] if rules.networks else ""
    tuned = {f"{largest}{TUNED}": 1.0, f"{largest}{LISTED_FIRST}": -1.0}
    taken = {rules.simple, *(name for pair in rules.engineered for name in pair), *study.networks}
    asked: dict[str, list[Weights]] = {
        "tuning": [{cell: tuned[cell[0]] for cell in study.tuning if cell[0] in tuned}],
        "engineered features": [{(a, n_last): 1.0, (b, n_last): -1.0} for a, b in rules.engineered],
        "another learner": [
            {(name, n_last): 1.0, (rules.simple, n_last): -1.0} for name in study.learners if name not in taken
        ],
    }
    unknown = [w for sums in asked.values() for w in sums if w and missing(study, list(w))
               and all(study.cell(cell) for cell in w)]  # fmt: skip
    known = {name: [w for w in sums if w and not missing(study, list(w))] for name, sums in asked.items()}
    others = [
        (name if len(sums) == 1 else f"{name}, {next(iter(weights))[0]}", weights)
        for name, sums in known.items() for weights in sums
    ]  # fmt: skip
    return OtherWays(others, [name for name, sums in known.items() if not sums], unknown)


def _minus(first: Mapping[CellName, float], second: Mapping[CellName, float]) -> Weights:
    difference = dict(first)
    for cell, weight in second.items():
        difference[cell] = difference.get(cell, 0.0) - weight
    return {cell: weight for cell, weight in difference.items() if weight}
