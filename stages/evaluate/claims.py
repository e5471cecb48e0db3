"""The seven statements of the chapter, each tested on the study's own cells."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
from scipy.special import ndtri

from stages.common.artefacts import Json
from stages.evaluate.estimates import Estimate, holm
from stages.evaluate.params import Claims
from stages.evaluate.spread import Array, CellName
from stages.evaluate.study import Study

Verdict = Literal["supported", "refuted", "inconclusive", "not tested"]
MILLION = 1_000_000
TUNED, LISTED_FIRST = " as tuned", " as listed first"  # cells of what a learner was tuned on
N_SIMULTANEOUS = 4000  # draws of the largest of several differences

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


@dataclass(frozen=True)
class Claim:
    """A statement, its verdict and why; p values are one-sided and adjusted, None where nothing was tested."""

    id: str
    verdict: Verdict
    reason: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p_supported: float | None = None
    p_refuted: float | None = None
    details: Json = field(default_factory=dict)

    def to_json(self) -> Json:
        evidence = {key: value for key, value in asdict(self).items() if key not in ("id", "verdict", "details")}
        evidence = {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in evidence.items()}
        head = {"id": self.id, "statement": STATEMENTS[self.id], "verdict": self.verdict}
        return head | {"evidence": evidence | self.details}


def tested(study: Study, rules: Claims) -> list[Claim]:
    """One claim for each of STATEMENTS, in their order; gains are in units of the metric, better is positive."""
    small, bigger = orderings(study, rules)
    return [
        plateau(study, rules),
        small,
        bigger,
        both_scales(study, rules),
        small_data(study, rules),
        million(study, rules),
        reliable(study, rules),
    ]


def verdict(p_supported: float, p_refuted: float, alpha: float) -> Verdict:
    if p_supported <= alpha:
        return "supported"
    return "refuted" if p_refuted <= alpha else "inconclusive"


def plateau(study: Study, rules: Claims) -> Claim:
    """Two one-sided tests (Schuirmann 1987) on the gain of the last doubling; refuted where it is surely larger."""
    cells = [(rules.simple, n) for n in study.sizes[-2:]]
    if reason := _missing(study, cells) or ("one size alone" if len(cells) < 2 else ""):
        return Claim("plateau", "not tested", reason)
    doublings = float(np.log2(study.sizes[-1] / study.sizes[-2]))
    gain = study.estimate({cells[1]: 1 / doublings, cells[0]: -1 / doublings})
    margin = study.smallest_gain
    p_flat = max(gain.p_above(-margin), gain.p_below(margin))
    p_gain, p_loss = gain.p_above(margin), gain.p_below(-margin)
    p_refuted = min(1.0, 2 * min(p_gain, p_loss))
    low, high = gain.interval(1 - 2 * rules.alpha)
    reason = (
        f"the last step, {study.sizes[-2]:,} to {study.sizes[-1]:,} labels, brought {rules.simple} {gain.mean:+.4f} "
        f"[{low:+.4f}, {high:+.4f}] a doubling; flat means within {margin:g} of 0"
    )
    details: Json = {"learner": rules.simple, "n_train": study.sizes[-1], "margin": margin, "test": "equivalence"}
    return Claim("plateau", verdict(p_flat, p_refuted, rules.alpha), reason, gain.mean, low, high, p_flat, p_refuted,
                 details)  # fmt: skip


def orderings(study: Study, rules: Claims) -> tuple[Claim, Claim]:
    """Paired tests at the largest size: each network against the next smaller one, the smallest against the simple.

    Holm's correction runs over all of them, for either direction; the interval of a step is at the level at which
    Holm tests it.
    """
    n_train = study.sizes[-1]
    chain = [rules.simple, *rules.networks]
    steps = {
        (low, high): study.estimate({(high, n_train): 1, (low, n_train): -1})
        for low, high in pairwise(chain)
        if not _missing(study, [(low, n_train), (high, n_train)])
    }
    supported = holm({step: gain.p_above(study.smallest_gain) for step, gain in steps.items()})
    refuted = holm({step: gain.p_below(study.smallest_gain) for step, gain in steps.items()})
    ranks = {step: rank for rank, step in enumerate(sorted(steps, key=lambda s: min(supported[s], refuted[s])))}

    def claim(name: str, wanted: list[tuple[str, str]]) -> Claim:
        missing = next(filter(None, (_missing(study, [(a, n_train), (b, n_train)]) for a, b in wanted)), "")
        if missing or not wanted:
            return Claim(name, "not tested", missing or "too few networks are named in evaluate.claims.networks")
        tests: list[Json] = []
        for step in wanted:
            gain = steps[step]
            low, high = gain.interval(1 - 2 * rules.alpha / (len(steps) - ranks[step]))
            tests.append({"better": step[1], "than": step[0], "gain": gain.mean, "low": low, "high": high,
                          "p_supported": supported[step], "p_refuted": refuted[step]})  # fmt: skip
        p_supported = max(supported[step] for step in wanted)
        p_refuted = min(refuted[step] for step in wanted)
        weakest = min(tests, key=lambda test: test["gain"])
        reason = f"with {n_train:,} labels " + ", ".join(
            f"{test['better']} is {test['gain']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}] against {test['than']}"
            + (f", {test['gain'] / study.smallest_gain:.1f} smallest gains" if study.smallest_gain else "")
            for test in tests
        )
        details: Json = {"n_train": n_train, "margin": study.smallest_gain, "test": "paired, Holm", "tests": tests}
        return Claim(name, verdict(p_supported, p_refuted, rules.alpha), reason, weakest["gain"], weakest["low"],
                     weakest["high"], p_supported, p_refuted, details)  # fmt: skip

    all_steps = list(pairwise(chain))
    return claim("small_network", all_steps[:1]), claim("bigger_network", all_steps[1:])


def both_scales(study: Study, rules: Claims) -> Claim:
    """Is the largest network with the most data better than every other cell, or is some other cell better than it?

    Supported where it is better than each of them in paired tests (intersection-union, Berger 1982). Refuted where the
    clearest lead of another cell is beyond what the largest of so many reaches by chance (max-t: simultaneous
    comparisons with one, Hsu 1996), of those that are not surely worse. Ties refute nothing. The probability of being
    the best cell is told beside it.
    """
    resamples = study.resamples
    corner = (rules.networks[-1] if rules.networks else "", study.sizes[-1])
    if corner not in resamples:
        return Claim("both_scales", "not tested", f"no usable cell {corner[0] or 'of a network'}-{corner[1]}")
    if len({name for name, _ in resamples}) < 2 or len({n for _, n in resamples}) < 2:
        return Claim("both_scales", "not tested", "fewer than two sizes or two learners with usable cells")
    rivals = [name for name in study.cells if name != corner]
    others = [name for name in rivals if not _missing(study, [corner, name])]
    if not others:
        return Claim("both_scales", "not tested", f"no cell has two replicates in common with {corner[0]}-{corner[1]}")
    apart = [name for name in rivals if name not in others]
    leads = {name: study.estimate({corner: 1, name: -1}) for name in others}
    p_supported = 1.0 if apart else max(lead.p_above(study.smallest_gain) for lead in leads.values())
    p_refuted = _simultaneous(study, corner, leads, study.smallest_gain, rules.alpha)
    share, shares = _best_of(resamples, corner)
    nearest = min(leads, key=lambda name: leads[name].mean)
    low, high = leads[nearest].interval(1 - 2 * rules.alpha)
    top = next(iter(shares), "")
    reason = (
        f"{corner[0]}-{corner[1]} is {leads[nearest].mean:+.4f} [{low:+.4f}, {high:+.4f}] against the best other cell, "
        f"{nearest[0]}-{nearest[1]}, and the best of all with probability {share:.3f}"
    )
    reason += f"; the most probable best cell is {top} ({shares[top]:.3f})" if top != f"{corner[0]}-{corner[1]}" else ""
    reason += f"; {_named(apart)} cannot be compared with it: too few replicates in common" if apart else ""
    details: Json = {"cell": list(corner), "probability": share, "probability_of_best": shares,
                     "margin": study.smallest_gain, "test": "intersection-union; max-t to refute"}  # fmt: skip
    return Claim("both_scales", verdict(p_supported, p_refuted, rules.alpha), reason, leads[nearest].mean, low, high,
                 p_supported, p_refuted, details)  # fmt: skip


def _best_of(resamples: Mapping[CellName, Array], cell: CellName) -> tuple[float, dict[str, float]]:
    """In which share of resamples the cell is the best, and that of every cell for which it is .01 or more."""
    names = list(resamples)
    drawn = np.stack([resamples[name] for name in names])  # (n_cells, n_resamples)
    best_of = np.bincount(drawn.argmax(axis=0), minlength=len(names)) / drawn.shape[1]
    shares = {f"{names[i][0]}-{names[i][1]}": float(best_of[i]) for i in np.argsort(-best_of) if best_of[i] >= 0.01}
    return float(best_of[names.index(cell)]), shares


def _simultaneous(
    study: Study, control: CellName, leads: Mapping[CellName, Estimate], margin: float, alpha: float
) -> float:
    """p value of: no cell is above the control by more than the margin, adjusted for their number and what they share.

    leads: of the control over each other cell. Their p values count as normal deviates; the largest of so many has the
    correlations of the differences, which have the control's replicates in common, and the test rows with it and with
    each other. Cells that are surely not above by the margin, with a tenth of alpha to err in any, need no correction
    (the two steps of Romano, Shaikh and Wolf 2014).
    """
    names = list(leads)
    of_replicates = np.array([study.estimate({name: 1}).of_replicates for name in [control, *names]])
    of_cells = study.test_covariance([control, *names]) + np.diag(of_replicates)
    differences = np.hstack([-np.ones((len(names), 1)), np.eye(len(names))])
    covariance = differences @ of_cells @ differences.T
    deviations = np.sqrt(np.maximum(np.diag(covariance), 1e-30))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviations, deviations))
    root = vectors * np.sqrt(np.maximum(values, 0))
    drawn = np.random.default_rng(0).normal(size=(N_SIMULTANEOUS, len(names))) @ root.T
    deviates = -ndtri(np.clip([lead.p_below(-margin) for lead in leads.values()], 1e-15, 1 - 1e-15))
    of_choice = alpha / 10
    is_possible = -deviates <= np.quantile(drawn.max(axis=1), 1 - of_choice)
    if not is_possible.any():
        return 1.0
    n_beyond = int((drawn[:, is_possible].max(axis=1) >= deviates[is_possible].max()).sum())
    return min(1.0, of_choice + (1 + n_beyond) / (1 + N_SIMULTANEOUS))


def small_data(study: Study, rules: Claims) -> Claim:
    """Is the order at the smallest size surely another than at the largest, or do engineered features surely decide?

    Kendall's tau between the two rankings lies in an interval: pairs of learners whose order surely reverses count
    as discordant, pairs whose order surely stays as concordant, the others as either. Surely: at both sizes by paired
    tests, with Holm's correction over pairs. Supported where all of the interval lies below `settled_tau`, refuted
    where none of it does.
    """
    first, last = study.sizes[0], study.sizes[-1]
    learners = [name for name in study.learners if not _missing(study, [(name, first), (name, last)])]
    pairs = list(combinations(learners, 2))
    if first == last or not pairs:
        return Claim("small_data", "not tested", "fewer than two sizes or two learners with usable cells")
    p_reversed, p_kept = {}, {}
    for a, b in pairs:
        early, late = (_sides(study.estimate({(a, n): 1, (b, n): -1})) for n in (first, last))
        p_reversed[a, b] = _either(early, late, opposite=True)
        p_kept[a, b] = _either(early, late, opposite=False)
    p_reversed, p_kept = holm(p_reversed), holm(p_kept)
    tau_high = 1 - 2 * sum(p <= rules.alpha for p in p_reversed.values()) / len(pairs)
    tau_low = 2 * sum(p <= rules.alpha for p in p_kept.values()) / len(pairs) - 1
    # So many pairs must reverse, or stay, for tau to lie on one side of the limit.
    n_reversed = int(np.floor((1 - rules.settled_tau) / 2 * len(pairs) + 1e-9)) + 1
    n_kept = int(np.ceil((1 + rules.settled_tau) / 2 * len(pairs) - 1e-9))
    tests = {"order": _kth(p_reversed.values(), n_reversed)}
    engineered = []
    for refined, raw in rules.engineered:
        if not _missing(study, [(refined, first), (raw, first)]):
            gain = study.estimate({(refined, first): 1, (raw, first): -1})
            low, high = gain.interval(1 - 2 * rules.alpha)
            tests[f"{refined} against {raw}"] = gain.p_above(study.smallest_gain)
            engineered.append({"engineered": refined, "raw": raw, "gain": gain.mean, "low": low, "high": high})
    p_supported = min(holm(tests).values())
    p_refuted = _kth(p_kept.values(), n_kept)
    means = study.means()
    orders = {n: sorted(learners, key=lambda name: -means[name, n]) for n in (first, last)}
    tau = _tau(orders[first], orders[last])
    curve = {
        str(n): _tau(sorted(present, key=lambda name: -means[name, n]), [x for x in orders[last] if x in present])
        for n in study.sizes
        if len(present := [name for name in learners if (name, n) in means]) > 1
    }
    reason = (
        f"Kendall's tau between the orders at {first:,} and {last:,} labels is {tau:.2f} "
        f"[{tau_low:.2f}, {tau_high:.2f}], settled from {rules.settled_tau:g} up; "
        f"{orders[first][0]} leads at {first:,}, {orders[last][0]} at {last:,}"
    )
    reason += "".join(
        f"; {item['engineered']} is {item['gain']:+.4f} [{item['low']:+.4f}, {item['high']:+.4f}] against {item['raw']}"
        for item in engineered
    )
    details: Json = {
        "n_train": first, "settled_tau": rules.settled_tau, "order": orders[first], "final_order": orders[last],
        "tau_by_size": curve, "engineered": engineered, "test": "pairs certain at both sizes, Holm",
    }  # fmt: skip
    return Claim("small_data", verdict(p_supported, p_refuted, rules.alpha), reason, tau, tau_low, tau_high,
                 p_supported, p_refuted, details)  # fmt: skip


def million(study: Study, rules: Claims) -> Claim:
    """With the most data, and a million examples at least: is some network above every traditional learner?"""
    n_train = study.sizes[-1]
    if n_train < MILLION:
        return Claim("million", "not tested", f"the largest size is {n_train:,} labels, fewer than a million")
    usable = [name for name in study.learners if not _missing(study, [(name, n_train)])]
    unknown = set(study.learners) - set(usable)  # cells that failed, or of one replicate: they may be anywhere
    networks = [name for name in usable if name in study.networks]
    others = [name for name in usable if name not in study.networks]
    if not networks or not others:
        return Claim("million", "not tested", f"no usable network or no usable other learner with {n_train:,} labels")
    pairs = [(a, b) for a in networks for b in others]
    if apart := [pair for pair in pairs if _missing(study, [(name, n_train) for name in pair])]:
        return Claim("million", "not tested", _missing(study, [(name, n_train) for name in apart[0]]))
    gains = {(a, b): study.estimate({(a, n_train): 1, (b, n_train): -1}) for a, b in pairs}
    above = {a: max(gains[a, b].p_above(study.smallest_gain) for b in others) for a in networks}
    below = {b: max(gains[a, b].p_below(study.smallest_gain) for a in networks) for b in others}
    p_supported = 1.0 if unknown - study.networks else min(1.0, len(networks) * min(above.values()))
    p_refuted = 1.0 if unknown & study.networks else min(1.0, len(others) * min(below.values()))
    means = study.means()
    a, b = (max(names, key=lambda name: means[name, n_train]) for names in (networks, others))
    low, high = gains[a, b].interval(1 - 2 * rules.alpha)
    reason = (
        f"with {n_train:,} labels the best network, {a}, is {gains[a, b].mean:+.4f} [{low:+.4f}, {high:+.4f}] "
        f"against the best other learner, {b}"
    )
    reason += f"; {', '.join(sorted(unknown))} cannot be compared" if unknown else ""
    details: Json = {"n_train": n_train, "network": a, "other": b, "margin": study.smallest_gain, "test": "paired"}
    return Claim("million", verdict(p_supported, p_refuted, rules.alpha), reason, gains[a, b].mean, low, high,
                 p_supported, p_refuted, details)  # fmt: skip


def reliable(study: Study, rules: Claims) -> Claim:
    """Does the next network with twice the data bring more than tuning, engineered features or another learner did?

    The last two networks and columns, against each other way that the study has: supported where that is surely more
    than the smallest gain and surely more than each of them brought (intersection-union), refuted where it surely
    brought less than the smallest gain, or another way surely more by that (Bonferroni). Of several pairs of features
    or several learners each counts as a way of its own; intervals hold for all ways at once.
    """
    last, networks = study.sizes[-2:], rules.networks[-2:]
    if len(last) < 2 or len(networks) < 2:
        return Claim("reliable", "not tested", "fewer than two sizes or two networks")
    scale: dict[CellName, float] = {(networks[1], last[1]): 1, (networks[0], last[0]): -1}
    if reason := _missing(study, list(scale)):
        return Claim("reliable", "not tested", reason)
    tuned = {f"{networks[1]}{TUNED}": 1.0, f"{networks[1]}{LISTED_FIRST}": -1.0}
    taken = {rules.simple, *(name for pair in rules.engineered for name in pair), *study.networks}
    ways: dict[str, list[dict[CellName, float]]] = {
        "tuning": [{cell: tuned[cell[0]] for cell in study.tuning if cell[0] in tuned}],
        "engineered features": [{(a, last[1]): 1.0, (b, last[1]): -1.0} for a, b in rules.engineered],
        "another learner": [
            {(name, last[1]): 1.0, (rules.simple, last[1]): -1.0} for name in study.learners if name not in taken
        ],
    }
    unknown = [w for found in ways.values() for w in found if w and _missing(study, list(w))
               and all(study.cell(cell) for cell in w)]  # fmt: skip
    ways = {name: [w for w in found if w and not _missing(study, list(w))] for name, found in ways.items()}
    lacking = [name for name, found in ways.items() if not found]
    others = [
        (name if len(found) == 1 else f"{name}, {next(iter(weights))[0]}", weights)
        for name, found in ways.items() for weights in found
    ]  # fmt: skip
    if not others:
        return Claim("reliable", "not tested", f"the study has no other way: {', '.join(lacking)} lack")
    gain = study.estimate(scale)
    leads = [study.estimate(_minus(scale, weights)) for _, weights in others]
    p_supported = 1.0 if unknown else max(gain.p_above(study.smallest_gain), *(lead.p_above(0) for lead in leads))
    against = [gain.p_below(study.smallest_gain), *(lead.p_below(-study.smallest_gain) for lead in leads)]
    p_refuted = min(1.0, len(against) * min(against))
    told: list[Json] = []
    for name, weights in [("a bigger network on more data", scale), *others]:
        brought = study.estimate(weights)
        low, high = brought.interval(1 - 2 * rules.alpha / len(against))
        told.append({"way": name, "gain": brought.mean, "cells": [[*cell, w] for cell, w in weights.items()],
                     "low": low, "high": high})  # fmt: skip
    told.sort(key=lambda way: -way["gain"])
    reason = "; ".join(f"{way['way']} brought {way['gain']:+.4f}" for way in told)
    reason += f"; not tested: {', '.join(lacking)}" if lacking else ""
    reason += f"; cannot be compared: {_named(list(unknown[0]))}" if unknown else ""
    details: Json = {"ways": told, "not_tested": lacking, "margin": study.smallest_gain,
                     "test": "paired; intersection-union, Bonferroni to refute"}  # fmt: skip
    low, high = gain.interval(1 - 2 * rules.alpha)
    return Claim("reliable", verdict(p_supported, p_refuted, rules.alpha), reason, gain.mean, low, high, p_supported,
                 p_refuted, details)  # fmt: skip


def _minus(first: Mapping[CellName, float], second: Mapping[CellName, float]) -> dict[CellName, float]:
    found = dict(first)
    for cell, weight in second.items():
        found[cell] = found.get(cell, 0.0) - weight
    return {cell: weight for cell, weight in found.items() if weight}


def _missing(study: Study, cells: Sequence[CellName]) -> str:
    """Why these cells cannot be compared, or an empty string."""
    known = {cell: study.cell(cell) for cell in cells}
    usable = {cell: scores.is_usable for cell, scores in known.items() if scores and scores.is_usable.sum() > 1}
    lacking = [f"{learner}-{n}" for learner, n in cells if (learner, n) not in usable]
    if not lacking and (unknown := [cell for cell in cells if not study.is_known(cell)]):
        return f"how much draws vary is not known of {_named(unknown)}: no size is below half the pool"
    if lacking:
        return f"no cell with two usable replicates: {', '.join(dict.fromkeys(lacking))}"
    if cells and np.logical_and.reduce(list(usable.values())).sum() < 2:
        return f"fewer than two replicates are usable in all of {_named(cells)}"
    return ""


def _named(cells: Sequence[CellName]) -> str:
    return ", ".join(f"{learner}-{n}" for learner, n in cells)


def _sides(gain: Estimate) -> tuple[float, float]:
    """p values of: it is above 0, it is below 0."""
    return gain.p_above(0), gain.p_below(0)


def _either(early: tuple[float, float], late: tuple[float, float], opposite: bool) -> float:
    """p value of: both differences have a sign, the opposite one or the same; twice the better of the two ways."""
    ways = zip(early[::-1] if opposite else early, late, strict=True)
    return min(1.0, 2 * min(max(of_both) for of_both in ways))


def _kth(p_values: Iterable[float], k: int) -> float:
    """The k-th smallest, 1 where there are fewer."""
    ordered = sorted(p_values)
    return float(ordered[k - 1]) if 0 < k <= len(ordered) else 1.0


def _tau(order: Sequence[str], final: Sequence[str]) -> float:
    """Kendall's tau between two orders of the same names without ties."""
    place = {name: i for i, name in enumerate(final)}
    signs = [np.sign(place[b] - place[a]) for a, b in combinations(order, 2)]
    return float(np.mean(signs))
