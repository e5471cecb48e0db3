"""How often verdicts and bands err: studies simulated at the boundary of every null hypothesis.

    python -m benchmarks.verdicts [--studies 2000] [--cases both_scales shared] [--processes 2] --out FILE

A verdict that errs in more than .06 of the studies, or a band that covers less than .93 of them, is named if that is
significant (one-sided binomial tests, Holm over all cases, 1 %). Prints one line a case, and writes JSON.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from stages.evaluate import claims
from stages.evaluate.claims import Grid
from stages.evaluate.estimates import CellName, Scores, Study
from stages.evaluate.metrics import accuracy, roc_auc
from stages.evaluate.params import Claims

Array = NDArray[np.float64]
SIZES = (65_536, 131_072, 262_144, 524_288, 1_048_576)
NETWORKS = ("small", "medium", "large")
LEARNERS = ("simple", "other", *NETWORKS)
RULES = Claims(alpha=0.05, simple="simple", networks=list(NETWORKS), settled_tau=0.8, engineered=[])
GAIN = 0.005


@dataclass(frozen=True)
class World:
    """Where a study's numbers come from.

    draw, initialisation: standard deviations of a fit's true value at the smallest size; the draw's falls as the square
    root of the size where `falls`. tails: degrees of freedom of both, normal where 0. missing, broken: shares of fits
    without a value, and of fits worse by 10 spreads. unequal: the largest network's spread over the simple learner's.
    pool: rows that draws are cut from, as a multiple of the largest size; infinite where draws are fresh.
    groups, within: how many groups test rows come in, 0 for rows that come alone, and their intraclass correlation.
    """

    n_replicates: int = 3
    n_test: int = 1000
    draw: float = 0.006
    initialisation: float = 0.003
    falls: bool = False
    tails: int = 0
    missing: float = 0.0
    broken: float = 0.0
    unequal: float = 1.0
    pool: float = np.inf
    groups: int = 0
    within: float = 0.1
    metric: str = "accuracy"


def simulated(planted: Mapping[CellName, float], world: World, rng: np.random.Generator) -> Study:
    """`planted`: the expected values over draws, initialisations and test rows; failures take from them."""
    sizes = sorted({n for _, n in planted})
    learners = list(dict.fromkeys(name for name, _ in planted))
    n_rep, n_test = world.n_replicates, world.n_test
    noise = _noise(world)
    labels = rng.integers(2, size=n_test)
    groups = np.arange(n_test) % world.groups if world.groups else None
    of_row = rng.normal(size=n_test)
    if groups is not None:
        of_row = np.sqrt(1 - world.within) * of_row + np.sqrt(world.within) * rng.normal(size=world.groups)[groups]
    of_replicate = rng.normal(size=(n_rep, n_test))
    spreads = dict(zip(learners, np.geomspace(1, world.unequal, len(learners)), strict=True))
    # A draw's effect is the mean of its rows' effects: what is the whole pool's is common to all draws of the pool.
    common = {name: noise(rng, ()) for name in learners}
    found, crossed = {}, {}
    for name, n in planted:
        overlap = 0.0 if np.isinf(world.pool) else n / (world.pool * sizes[-1])
        own = noise(rng, (n_rep,))
        draws = np.sqrt(overlap) * common[name] + np.sqrt(1 - overlap) * own
        size = np.sqrt(sizes[0] / n) if world.falls else 1.0
        inits = noise(rng, (n_rep,))
        broken = 10 * np.hypot(world.draw, world.initialisation) * (rng.random(n_rep) < world.broken)
        scale = spreads[name] * size
        value = planted[name, n] + scale * (world.draw * draws + world.initialisation * inits) - spreads[name] * broken
        values, influences = _measured(value, of_row, of_replicate, labels, world, rng)
        values = np.where(rng.random(n_rep) < world.missing, np.nan, values)
        found[name, n] = Scores.of(values, influences, groups)
        if n == sizes[0]:  # the first three draws and initialisations, each with each
            square = scale * (world.draw * draws[:3, None] + world.initialisation * inits[None, :3])
            rows = np.repeat(of_replicate[:3], 3, axis=0)
            crossed[name] = (n, _measured(planted[name, n] + square.ravel(), of_row, rows, labels, world, rng)[0])
    crossed = {name: (n, values.reshape(3, 3)) for name, (n, values) in crossed.items()}
    return Study(found, np.inf if np.isinf(world.pool) else world.pool * sizes[-1], crossed)


def _measured(
    value: Array, of_row: Array, of_replicate: Array, labels: NDArray[np.int64], world: World, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The metric and its influences of fits (n_fits,) whose expected values are these."""
    own = rng.normal(size=of_replicate.shape)
    standing = np.sqrt(0.6) * of_row + np.sqrt(0.2) * of_replicate + np.sqrt(0.2) * own
    if world.metric == "accuracy":
        of_truth = np.where(standing < ndtri(np.clip(value, 1e-6, 1 - 1e-6))[:, None], 0.7, 0.3)
        return accuracy(labels, np.stack([np.where(labels == k, of_truth, 1 - of_truth) for k in (0, 1)], axis=2))
    distance = np.sqrt(2) * ndtri(np.clip(value, 0.01, 0.999))
    p = ndtr(standing + (labels - 0.5) * distance[:, None])
    return roc_auc(labels, np.stack([1 - p, p], axis=2))


def _noise(world: World) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    """Standardised: mean 0, variance 1."""
    if not world.tails:
        return lambda rng, shape: rng.normal(size=shape)
    scale = np.sqrt((world.tails - 2) / world.tails)
    return lambda rng, shape: scale * rng.standard_t(world.tails, size=shape)


@dataclass(frozen=True)
class Case:
    """A null hypothesis at its boundary: of which verdict, on which curves, in which world."""

    name: str
    statement: str
    verdict: str
    curves: Mapping[str, Sequence[float]]
    world: World = World()

    def errs(self, rng: np.random.Generator) -> bool:
        study = simulated(planted_of(self.curves), self.world, rng)
        return verdict_of(self.statement, study) == self.verdict


def planted_of(curves: Mapping[str, Sequence[float]]) -> dict[CellName, float]:
    return {(name, n): value for name, of in curves.items() for n, value in zip(SIZES, of, strict=True)}


def verdict_of(statement: str, study: Study) -> str:
    """The verdict on one statement alone."""
    grid = Grid(LEARNERS, SIZES, frozenset(NETWORKS), GAIN)
    match statement:
        case "plateau":
            return claims.plateau(study, grid, RULES).verdict
        case "small_network" | "bigger_network":
            return claims.orderings(study, grid, RULES)[statement == "bigger_network"].verdict
        case "both_scales":
            return claims.both_scales(study, grid, RULES, study.resamples(200, seed=0)).verdict
        case "small_data":
            return claims.small_data(study, grid, RULES).verdict
    return claims.million(study, grid, RULES).verdict


def raised(curves: Mapping[str, Sequence[float]], **changes: Mapping[int, float]) -> dict[str, list[float]]:
    """The curves with some places of some learners set to other values."""
    found = {name: list(values) for name, values in curves.items()}
    for name, places in changes.items():
        for place, value in places.items():
            found[name][place] = value
    return found


# Curves for which all statements clearly hold.
CHAPTER = {
    "simple": [0.700, 0.740, 0.755, 0.760, 0.760],
    "other": [0.660, 0.720, 0.760, 0.780, 0.790],
    "small": [0.640, 0.700, 0.750, 0.780, 0.800],
    "medium": [0.620, 0.700, 0.760, 0.810, 0.840],
    "large": [0.600, 0.700, 0.780, 0.850, 0.900],
}
TOP = CHAPTER["large"][-1]


def tied(n_cells: int, value: float) -> dict[str, list[float]]:
    """The curves with so many cells at this value beside the largest network with the most data."""
    places: list[CellName] = [("other", 4), ("other", 3), ("medium", 4), ("large", 3), ("medium", 3), ("small", 4),
                              ("simple", 4), ("large", 2)]  # fmt: skip
    changes: dict[str, dict[int, float]] = {}
    for name, place in places[:n_cells]:
        changes.setdefault(name, {})[place] = value
    return raised(CHAPTER, **changes)


SETTLED = {  # Kendall's tau is .8: one of ten pairs reverses, three learners are level at the smallest size
    "simple": [0.60, 0.65, 0.70, 0.74, 0.75],
    "other": [0.60, 0.66, 0.72, 0.77, 0.78],
    "small": [0.60, 0.67, 0.74, 0.80, 0.81],
    "medium": [0.72, 0.74, 0.78, 0.83, 0.84],
    "large": [0.70, 0.75, 0.80, 0.86, 0.87],
}
WORLDS = {
    "clean": World(),
    "10 replicates": World(n_replicates=10),
    "heavy tails": World(tails=3),
    "heavy tails, 10 replicates": World(tails=3, n_replicates=10),
    "one replicate in ten missing": World(missing=0.1),
    "one of ten replicates fails": World(broken=0.1, n_replicates=10),
    "unequal": World(unequal=5.0),
    "an eighth shared": World(pool=8.0, falls=True),
    "half shared": World(pool=2.0, falls=True),
    "all shared": World(pool=1.0, falls=True),
    "half shared, 10 replicates": World(pool=2.0, falls=True, n_replicates=10),
    "all shared, 10 replicates": World(pool=1.0, falls=True, n_replicates=10),
    "all shared, initialisations alone": World(
        pool=1.0, falls=True, n_replicates=10, draw=0.0005, initialisation=0.006
    ),
    "all shared, draws alone": World(pool=1.0, falls=True, n_replicates=10, initialisation=0.0),
    "57 groups": World(groups=57),
    "12 groups": World(groups=12),
    "ROC AUC": World(metric="roc_auc"),
}


def cases() -> list[Case]:
    found = []
    for name, world in WORLDS.items():
        for n in (1, 4, 8):
            for of, value in (("supported", TOP - GAIN), ("refuted", TOP + GAIN)):
                found.append(Case(f"{n} ties, {name}", "both_scales", of, tied(n, value), world))
        flat = raised(CHAPTER, simple={3: 0.760 - GAIN, 4: 0.760})
        found += [Case(name, "plateau", of, flat, world) for of in ("supported", "refuted")]
        level = raised(CHAPTER, small={4: 0.760 + GAIN})
        found += [Case(name, "small_network", of, level, world) for of in ("supported", "refuted")]
        level = raised(CHAPTER, large={4: CHAPTER["medium"][4] + GAIN})
        found += [Case(name, "bigger_network", of, level, world) for of in ("supported", "refuted")]
        found.append(Case(name, "small_data", "supported", SETTLED, world))
        level = raised(CHAPTER, other={4: TOP - GAIN})
        found += [Case(name, "million", of, level, world) for of in ("supported", "refuted")]
    return found


def bands(world: World, rng: np.random.Generator) -> dict[str, tuple[bool, float]]:
    """Of cells and differences: does the 95 % interval hold the truth, and how wide is it, in units of the metric?"""
    planted = planted_of(CHAPTER)
    study = simulated(planted, world, rng)
    sums = {
        "first cell": {("small", SIZES[0]): 1.0},
        "last cell": {("large", SIZES[-1]): 1.0},
        "last step": {("large", SIZES[-1]): 1.0, ("large", SIZES[-2]): -1.0},
        "two learners": {("large", SIZES[-1]): 1.0, ("other", SIZES[-1]): -1.0},
        "two learners, first size": {("simple", SIZES[0]): 1.0, ("other", SIZES[0]): -1.0},
    }
    spreads = dict(zip(LEARNERS, np.geomspace(1, world.unequal, len(LEARNERS)), strict=True))
    found = {}
    for name, weights in sums.items():
        truth = 0.0
        for (learner, n), weight in weights.items():
            failures = 10 * np.hypot(world.draw, world.initialisation) * spreads[learner] * world.broken
            truth += weight * (planted[learner, n] - failures)
        low, high = study.estimate(weights).interval(0.95)
        if np.isfinite(low):
            found[name] = (low <= truth <= high, high - low)
    return found


def rate_of(case: Case, n_studies: int, seed: int) -> int:
    rng = np.random.default_rng(seed)
    return sum(case.errs(rng) for _ in range(n_studies))


def coverage_of(name: str, n_studies: int, seed: int) -> dict[str, tuple[int, int, float]]:
    """Of each sum: how often its interval held the truth, of how many, and the median width."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[bool, float]]] = {}
    for _ in range(n_studies):
        for key, value in bands(WORLDS[name], rng).items():
            found.setdefault(key, []).append(value)
    return {
        key: (sum(held for held, _ in of), len(of), float(np.median([width for _, width in of])))
        for key, of in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000, help="a case")
    parser.add_argument("--only", nargs="*", help="statements, or `bands`")
    parser.add_argument("--worlds", nargs="*", help="names of worlds")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    worlds = arguments.worlds or list(WORLDS)
    chosen = [c for c in cases() if (not arguments.only or c.statement in arguments.only)
              and any(c.world is WORLDS[name] for name in worlds)]  # fmt: skip
    report = []
    with get_context("fork").Pool(arguments.processes) as pool:
        rates = [(c, pool.apply_async(rate_of, (c, arguments.studies, i))) for i, c in enumerate(chosen)]
        covered = {}
        if not arguments.only or "bands" in arguments.only:
            covered = {name: pool.apply_async(coverage_of, (name, arguments.studies, 7)) for name in worlds}
        for name, result in covered.items():
            for key, (n_held, n, width) in result.get().items():
                print(f"band {name}, {key}: {n_held / n:.3f} of {n}, width {width:.4f}", flush=True)
                report.append({"world": name, "band": key, "covered": n_held / n, "n": n, "width": width})
        for case, rate in rates:
            share = rate.get() / arguments.studies
            print(f"{case.statement} {case.verdict} at its boundary, {case.name}: {share:.4f}", flush=True)
            report.append({"statement": case.statement, "verdict": case.verdict, "case": case.name, "rate": share})
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
