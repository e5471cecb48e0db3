"""How often verdicts and bands err, and how often verdicts see what is there: studies whose truth is known.

    python -m benchmarks.verdicts [--studies 2000] [--only verdicts bands power] [--worlds NAME ...] [--processes 2]
                                  [--out FILE]

Verdicts are simulated at the boundary of what they deny, bands on the chapter's curves, both in worlds that each spoil
one thing; power in two worlds that spoil nothing. A verdict that errs in more than .06 of the studies, or a band that
holds less than .93 of the truths in cells without a mark, is named if that is significant (one-sided binomial tests,
Holm over all cases, 1 %). So are bands without a mark that are more than 1.4 times as wide as with the true variances,
and clean worlds in which more than .05 of the cells carry a mark. Prints tables in Markdown, and writes JSON.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binomtest

from stages.evaluate import claims
from stages.evaluate.claims import LISTED_FIRST, TUNED
from stages.evaluate.crossing import MOST_SHARED, Crossed
from stages.evaluate.estimates import Scores, holm
from stages.evaluate.marks import LEAST_GROUPS, LEAST_WRONG
from stages.evaluate.metrics import METRICS
from stages.evaluate.params import Claims
from stages.evaluate.study import Study
from stages.evaluate.sums import CellName

Array = NDArray[np.float64]
Curves = Mapping[str, Sequence[float]]
SIZES = (65_536, 131_072, 262_144, 524_288, 1_048_576)
NETWORKS = ("small", "medium", "large")
LEARNERS = ("simple", "other", *NETWORKS)
RULES = Claims(alpha=0.05, simple="simple", networks=list(NETWORKS), settled_tau=0.8, engineered=[])
SMALLEST_SHARE = 0.005  # of what guessing leaves: the default of evaluate.smallest_share
MOST_ERRORS, LEAST_HELD, MOST_WIDTH, MOST_MARKED, LEVEL = 0.06, 0.93, 1.4, 0.05, 0.01
CHUNK = 125  # studies that a process takes at a time
ROWS_OF_SMALLEST = 16  # of a pool, that make a draw of the smallest size
N_FOR_TRUTH = 1000  # studies, two by two on the same test rows, from which true variances are known


@dataclass(frozen=True)
class World:
    """Where a study's numbers come from.

    draw, initialisation: standard deviations of a fit's true value at the smallest size; the draw's falls as the square
    root of the size where `falls`, and from a pool always. tails: degrees of freedom of both, normal where 0. missing,
    broken: shares of fits without a value, and of fits worse by 10 spreads. unequal: the largest network's spread over
    the simple learner's. pool: rows that draws are cut from, as a multiple of the largest size; infinite where draws
    are fresh; alike: the correlation of what a row of it does at one size with what it does at another. groups, within:
    how many groups test rows come in, 0 for rows that come alone, and their intraclass correlation.
    top, stretch: the best value of the curves, and how far they spread below it.
    """

    n_replicates: int = 3
    least: int = 0  # replicates; where given, they halve from size to size down to it
    n_test: int = 1000
    draw: float = 0.006
    initialisation: float = 0.003
    falls: bool = False
    tails: int = 0
    missing: float = 0.0
    broken: float = 0.0
    unequal: float = 1.0
    pool: float = np.inf
    alike: float = 0.8
    groups: int = 0
    within: float = 0.1
    metric: str = "accuracy"
    n_classes: int = 2
    top: float = 0.9
    stretch: float = 1.0

    def replicates_at(self, place: int) -> int:
        """Of the size at this place, 0 for the smallest."""
        return max(self.least, self.n_replicates >> place) if self.least else self.n_replicates

    @property
    def smallest_gain(self) -> float:
        return SMALLEST_SHARE * METRICS[self.metric].left_by_guessing(self.n_classes)

    def curves(self, curves: Curves) -> dict[str, list[float]]:
        best = max(max(values) for values in curves.values())
        return {name: [self.top - self.stretch * (best - v) for v in values] for name, values in curves.items()}


WORLDS = {
    "clean": World(),
    "10 replicates": World(n_replicates=10),
    "12, 6, then 3 replicates": World(n_replicates=12, least=3),
    "heavy tails": World(tails=3),
    "heavy tails, 10 replicates": World(tails=3, n_replicates=10),
    "one replicate in ten missing": World(missing=0.1),
    "one of ten replicates fails": World(broken=0.1, n_replicates=10),
    "unequal draws": World(unequal=5.0),
    "an eighth shared": World(pool=8.0, falls=True),
    "half shared": World(pool=2.0, falls=True),
    "all shared": World(pool=1.0, falls=True),
    "half shared, 10 replicates": World(pool=2.0, falls=True, n_replicates=10),
    "all shared, 10 replicates": World(pool=1.0, falls=True, n_replicates=10),
    "half shared, rows alike at all sizes": World(pool=2.0, falls=True, alike=1.0),
    "half shared, rows alike at none": World(pool=2.0, falls=True, alike=0.0),
    "all shared, initialisations alone": World(
        pool=1.0, falls=True, n_replicates=10, draw=0.0005, initialisation=0.006
    ),
    "an eighth shared, draws alone": World(pool=8.0, falls=True, n_replicates=10, draw=0.02, initialisation=0.0),
    "half shared, draws alone": World(pool=2.0, falls=True, n_replicates=10, draw=0.02, initialisation=0.0),
    "half shared, draws alone, 3 replicates": World(pool=2.0, falls=True, draw=0.02, initialisation=0.0),
    "all shared, draws alone": World(pool=1.0, falls=True, n_replicates=10, draw=0.02, initialisation=0.0),
    "57 groups": World(groups=57),
    "12 groups": World(groups=12),
    "near the ceiling": World(n_test=600, draw=0.0006, initialisation=0.0003, top=0.998, stretch=0.1),
    "10 classes": World(metric="roc_auc", n_classes=10, n_test=500),
    "ROC AUC": World(metric="roc_auc"),
}  # fmt: skip
CLEAN = ("clean", "10 replicates", "10 classes", "ROC AUC")
OF_VERDICTS = ("clean", "12, 6, then 3 replicates", "heavy tails", "one replicate in ten missing",
               "one of ten replicates fails", "unequal draws",
               "an eighth shared", "half shared", "all shared", "57 groups", "12 groups", "near the ceiling",
               "10 classes", "ROC AUC")  # fmt: skip
OF_MORE_TIES = ("clean", "heavy tails", "one replicate in ten missing")
DEFAULT = World()
FLIGHTS_LIKE = World(draw=0.003, initialisation=0.0015, falls=True, n_test=10_000, top=0.76)
MOST = (3, 6, 12)  # replicates of the smallest size; they halve from size to size down to 3
OF_POWER = {"default": DEFAULT, "flights-like": FLIGHTS_LIKE}
OF_POWER |= {f"{name}, {n}": replace(world, n_replicates=n, least=3) for name, world in OF_POWER.items() for n in MOST}

# Curves for which all statements clearly hold.
CHAPTER = {
    "simple": [0.700, 0.740, 0.755, 0.760, 0.760],
    "other": [0.660, 0.720, 0.760, 0.780, 0.790],
    "small": [0.640, 0.700, 0.750, 0.780, 0.800],
    "medium": [0.620, 0.700, 0.760, 0.810, 0.840],
    "large": [0.600, 0.700, 0.780, 0.850, 0.900],
}
SETTLED = {  # Kendall's tau is .8: one of ten pairs reverses, three learners are level at the smallest size
    "simple": [0.60, 0.65, 0.70, 0.74, 0.75],
    "other": [0.60, 0.66, 0.72, 0.77, 0.78],
    "small": [0.60, 0.67, 0.74, 0.80, 0.81],
    "medium": [0.72, 0.74, 0.78, 0.83, 0.84],
    "large": [0.70, 0.75, 0.80, 0.86, 0.87],
}
UNSETTLED = {  # two of ten pairs are level at the smallest size, so tau may be .6
    "simple": [0.60, 0.65, 0.70, 0.74, 0.75],
    "other": [0.60, 0.66, 0.72, 0.77, 0.78],
    "small": [0.66, 0.69, 0.74, 0.80, 0.81],
    "medium": [0.72, 0.75, 0.78, 0.83, 0.84],
    "large": [0.72, 0.76, 0.80, 0.86, 0.87],
}
FLIGHTS = {  # ROC AUC of an earlier recipe with 1,024 to 32,768 labels, taken as shares of right rows
    "simple": [0.6916, 0.7050, 0.7120, 0.7190, 0.7239],
    "other": [0.6702, 0.6982, 0.7160, 0.7439, 0.7596],
    "small": [0.6735, 0.6872, 0.7062, 0.7320, 0.7410],
    "medium": [0.6779, 0.6950, 0.7180, 0.7400, 0.7517],
    "large": [0.6754, 0.6929, 0.7125, 0.7405, 0.7540],
}
APART = {name: [0.6 + 0.04 * i + 0.02 * place for place in range(5)] for i, name in enumerate(LEARNERS)}
TIES: tuple[CellName, ...] = (("other", 4), ("other", 3), ("medium", 4), ("large", 3), ("medium", 3), ("small", 4),
                              ("simple", 4), ("large", 2))  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Studies of one truth, and the verdicts that count in them: (label, statement, verdict)."""

    world: str
    planted: Mapping[CellName, float]
    counted: Sequence[tuple[str, str, str]]
    engineered: tuple[str, ...] = ()  # the refined learner and the raw one, where features are a way


def raised(curves: Curves, **changes: Mapping[int, float]) -> dict[str, list[float]]:
    """The curves with some places of some learners set to other values."""
    found = {name: list(values) for name, values in curves.items()}
    for name, places in changes.items():
        for place, value in places.items():
            found[name][place] = value
    return found


def tied(curves: Curves, n_cells: int, value: float) -> dict[str, list[float]]:
    """The curves with so many cells at this value beside the largest network with the most data."""
    found = {name: list(values) for name, values in curves.items()}
    for name, place in TIES[:n_cells]:
        found[name][place] = value
    return found


def planted_of(curves: Curves, **single: float) -> dict[CellName, float]:
    """single: values of cells that are no curve, at the second size."""
    found = {(name, n): value for name, of in curves.items() for n, value in zip(SIZES, of, strict=True)}
    return found | {(name, SIZES[1]): value for name, value in single.items()}


def at_boundaries(name: str) -> list[Case]:
    """Every statement where what its verdict says is just not so."""
    world = WORLDS[name]
    g, curves, top = world.smallest_gain, world.curves(CHAPTER), world.top
    simple, medium = curves["simple"], curves["medium"]
    lower = raised(curves, large={4: top - g})  # room for cells above the corner
    one = raised(tied(curves, 1, top - g), simple={3: simple[4] - g}, small={4: simple[4] + g})
    settled = world.curves(SETTLED)
    step = top - medium[3]  # what the next network with twice the data brings
    tuned = {f"large{TUNED}": curves["large"][1], f"large{LISTED_FIRST}": curves["large"][1] - 0.1 * world.stretch}
    refuting = {f"large{TUNED}": top, f"large{LISTED_FIRST}": top - step - g}
    found = [
        Case(name, planted_of(one), [
            ("1 tie", "both_scales", "supported"),
            *(("", of, v) for of in ("million", "plateau", "small_network") for v in ("supported", "refuted")),
        ]),
        Case(name, planted_of(tied(curves, 4, top - g)), [
            ("", "bigger_network", "supported"), ("", "bigger_network", "refuted"),
        ]),
        Case(name, planted_of(tied(lower, 8, top)), [("8 ties", "both_scales", "refuted")]),
        Case(name, planted_of(settled), [("", "small_data", "supported")]),
        Case(name, planted_of(settled | {"other": [settled["simple"][0] + g, *settled["other"][1:]]}),
             [("engineered", "small_data", "supported")], ("other", "simple")),
        Case(name, planted_of(world.curves(UNSETTLED)), [("", "small_data", "refuted")]),
        Case(name, planted_of(raised(curves, other={4: simple[4] + step}), **tuned), [("", "reliable", "supported")]),
        Case(name, planted_of(raised(curves, other={4: simple[4] + step + g}), **refuting),
             [("", "reliable", "refuted")]),
    ]  # fmt: skip
    if name in OF_MORE_TIES:
        found += [
            Case(name, planted_of(tied(lower, 1, top)), [("1 tie", "both_scales", "refuted")]),
            Case(name, planted_of(tied(lower, 4, top)), [("4 ties", "both_scales", "refuted")]),
            Case(name, planted_of(raised(curves, small={4: top}, medium={4: top}, other={4: top - g})), [
                ("3 networks", "million", "supported"),
            ]),
            Case(name, planted_of(raised(curves, simple={4: top - g}, other={4: top - g})), [
                ("2 others", "million", "refuted"),
            ]),
        ]  # fmt: skip
    return found


def of_power() -> list[Case]:
    """What verdicts should see; a lead of .02 is one of the corner over another cell, or of that over the corner."""
    far = raised(CHAPTER, other={4: 0.88})
    level = raised(CHAPTER, small={4: 0.80}, medium={4: 0.82}, large={4: 0.84})
    cases = [
        ("default", far, "the corner leads one cell by .02", "both_scales", "supported"),
        ("default", tied(CHAPTER, 8, 0.88), "... eight cells", "both_scales", "supported"),
        ("default", raised(CHAPTER, other={4: 0.92}), "one cell leads the corner by .02", "both_scales", "refuted"),
        ("default", raised(tied(CHAPTER, 8, 0.88), other={4: 0.92}), "... seven others .02 below it", "both_scales",
         "refuted"),
        ("default", raised(CHAPTER, simple={3: 0.74}), "the last step brings .02", "plateau", "refuted"),
        ("default", raised(CHAPTER, small={4: 0.78}), ".02 above", "small_network", "supported"),
        ("default", raised(CHAPTER, small={4: 0.74}), ".02 below", "small_network", "refuted"),
        ("default", level, "steps of .02", "bigger_network", "supported"),
        ("default", raised(level, large={4: 0.80}), "the last network .02 below", "bigger_network", "refuted"),
        ("default", far, "the network .02 above", "million", "supported"),
        ("default", raised(CHAPTER, other={4: 0.92}), "the network .02 below", "million", "refuted"),
        *((f"flights-like, {n}", FLIGHTS, f"flights' curves, {n} replicates", "small_data", "supported") for n in MOST),
        *((f"default, {n}", APART, f"steps of .04 at every size, {n} replicates", "small_data", "refuted")
          for n in MOST),
        ("default", CHAPTER, "scale brings .09, another learner .03", "reliable", "supported"),
        ("default", raised(CHAPTER, other={4: 0.88}), "scale brings .09, another learner .12", "reliable", "refuted"),
    ]  # fmt: skip
    return [Case(world, planted_of(curves), [(label, statement, of)]) for world, curves, label, statement, of in cases]


def world_of(name: str) -> World:
    return OF_POWER.get(name) or WORLDS[name]


@dataclass(frozen=True)
class TestRows:
    """labels: (n_test,); standings: (n_test, n_classes), how hard a row is by its own; groups: (n_test,) or None."""

    labels: NDArray[np.int64]
    standings: Array
    groups: NDArray[np.int64] | None


def test_rows(world: World, rng: np.random.Generator) -> TestRows:
    labels = rng.integers(world.n_classes, size=world.n_test)
    standings = rng.normal(size=(world.n_test, world.n_classes if world.metric == "roc_auc" else 1))
    if not world.groups:
        return TestRows(labels, standings, None)
    groups = np.arange(world.n_test) % world.groups
    of_group = rng.normal(size=(world.groups, 1))[groups]
    return TestRows(labels, np.sqrt(1 - world.within) * standings + np.sqrt(world.within) * of_group, groups)


def simulated(
    planted: Mapping[CellName, float], world: World, rng: np.random.Generator, rows: TestRows | None = None
) -> Study:
    """`planted`: the expected values over draws, initialisations and test rows; failures take from them."""
    sizes = sorted({n for _, n in planted})
    rows = rows or test_rows(world, rng)
    n_rep = world.n_replicates
    noise = _noise(world)
    of_replicate = rng.normal(size=(n_rep, *rows.standings.shape))
    draws = drawn(list(planted), world, rng)
    found, crossed = {}, {}
    for name, n in planted:
        spread = _spread(name, world)
        size = np.sqrt(sizes[0] / n) if world.falls else 1.0
        inits = noise(rng, (n_rep,))
        broken = 10 * np.hypot(world.draw, world.initialisation) * (rng.random(n_rep) < world.broken)
        of_draw, of_init = spread * world.draw * draws[name, n], spread * size * world.initialisation * inits
        values, influences = _measured(
            planted[name, n] + of_draw + of_init - spread * broken, rows, of_replicate, world, rng
        )
        values = np.where(rng.random(n_rep) < world.missing, np.nan, values)
        values[world.replicates_at(sizes.index(n)) :] = np.nan
        found[name, n] = Scores.of(values, influences, rows.groups)
        if n == sizes[0]:  # the first three draws and initialisations, each with each
            square = (planted[name, n] + of_draw[:3, None] + of_init[None, :3]).ravel()
            values, influences = _measured(square, rows, np.repeat(of_replicate[:3], 3, axis=0), world, rng)
            shares = Scores.of(values, influences, rows.groups).shares
            crossed[name] = Crossed(n, values.reshape(3, 3), shares.reshape(3, 3, -1))
    n_pool = np.inf if np.isinf(world.pool) else world.pool * sizes[-1]
    of_grid, tuning = ({cell: s for cell, s in found.items() if (cell[0] in LEARNERS) == is_one} for is_one in (1, 0))
    return Study(of_grid, METRICS[world.metric], frozenset(NETWORKS), world.smallest_gain, n_pool, crossed, tuning,
                 n_resamples=2)  # fmt: skip  # of which no verdict depends


def drawn(cells: Sequence[CellName], world: World, rng: np.random.Generator) -> dict[CellName, Array]:
    """Effects of draws, (n_replicates,) each, of variance 1 at the smallest size over fresh draws.

    From a pool an effect is the mean of the effects of a draw's rows, a row here standing for many; draws are nested,
    and the same for all learners. What a row does at a size it does in part, `alike`, at every size.
    """
    noise = _noise(world)
    if np.isinf(world.pool):
        return {cell: noise(rng, (world.n_replicates,)) for cell in cells}
    n_pool = round(world.pool * SIZES[-1] / SIZES[0] * ROWS_OF_SMALLEST)
    orders = rng.permuted(np.tile(np.arange(n_pool), (world.n_replicates, 1)), axis=1)
    common = {name: noise(rng, (n_pool,)) for name, _ in cells}
    found = {}
    for name, n in cells:
        of_rows = np.sqrt(world.alike) * common[name] + np.sqrt(1 - world.alike) * noise(rng, (n_pool,))
        kept = orders[:, : n // SIZES[0] * ROWS_OF_SMALLEST]
        found[name, n] = np.sqrt(ROWS_OF_SMALLEST) * of_rows[kept].mean(axis=1)
    return found


def _spread(learner: str, world: World) -> float:
    """Of a learner's fits, as a multiple of the world's."""
    return float(world.unequal ** (LEARNERS.index(learner.split()[0]) / (len(LEARNERS) - 1)))


def _measured(
    value: Array, rows: TestRows, of_replicate: Array, world: World, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The metric and its influences of fits (n_fits,) whose expected values are these."""
    own = rng.normal(size=of_replicate.shape)  # (n_fits, n_test, n_standings)
    standing = np.sqrt(0.6) * rows.standings + np.sqrt(0.2) * of_replicate + np.sqrt(0.2) * own
    if world.metric == "accuracy":
        is_right = standing[..., 0] < ndtri(np.clip(value, 1e-6, 1 - 1e-6))[:, None]
        values = is_right.mean(axis=1)
        return values, is_right - values[:, None]
    distance = np.sqrt(2) * ndtri(np.clip(value, 0.01, 0.999))[:, None, None]
    return roc_auc_untied(rows.labels, standing + distance * (rows.labels[:, None] == np.arange(world.n_classes)))


def roc_auc_untied(labels: NDArray[np.int64], scores: Array) -> tuple[Array, Array]:
    """What `stages.evaluate.metrics.roc_auc` gives of scores (n_fits, n_test, n_classes) without ties, several times as
    fast: all fits and classes by one sort each. Every class has rows of its own and others."""
    n_test = scores.shape[1]
    classes = np.arange(scores.shape[2]) if scores.shape[2] > 2 else np.array([1])
    is_own = labels == classes[:, None]  # (n_classes, n_test)
    of_classes = np.ascontiguousarray(scores.transpose(0, 2, 1)[:, classes])  # (n_fits, n_classes, n_test)
    order = of_classes.argsort(axis=2)
    own = np.take_along_axis(np.broadcast_to(is_own, of_classes.shape), order, 2)
    own_below = own.cumsum(axis=2) - own
    n_own = is_own.sum(axis=1)[:, None]
    # The share of the other side that a row of the class beats, and by which a row of the other side is not beaten.
    in_order = np.where(own, (np.arange(n_test) - own_below) / (n_test - n_own), 1 - own_below / n_own)
    shares = np.empty_like(in_order)
    np.put_along_axis(shares, order, in_order, 2)
    values = (shares * is_own).sum(axis=2, keepdims=True) / n_own
    influences = (shares - values) * n_test / np.where(is_own, n_own, n_test - n_own)
    return values[:, :, 0].mean(axis=1), influences.mean(axis=1)


def _noise(world: World) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    """Standardised: mean 0, variance 1."""
    if not world.tails:
        return lambda rng, shape: rng.normal(size=shape)
    scale = np.sqrt((world.tails - 2) / world.tails)
    return lambda rng, shape: scale * rng.standard_t(world.tails, size=shape)


def verdict_of(statement: str, study: Study, engineered: tuple[str, ...] = ()) -> str:
    """The verdict on one statement alone."""
    rules = RULES.model_copy(update={"engineered": [list(engineered)] if engineered else []})
    if statement in ("small_network", "bigger_network"):
        return claims.orderings(study, rules)[statement == "bigger_network"].verdict
    return getattr(claims, statement)(study, rules).verdict


def counted(case: Case, n_studies: int, seed: Sequence[int]) -> Counter[tuple[str, str, str]]:
    """How many studies have the verdicts that the case counts."""
    rng = np.random.default_rng(seed)
    world = world_of(case.world)
    found: Counter[tuple[str, str, str]] = Counter()
    for _ in range(n_studies):
        study = simulated(case.planted, world, rng)
        verdicts = {s: verdict_of(s, study, case.engineered) for s in {s for _, s, _ in case.counted}}
        found.update(key for key in case.counted if verdicts[key[1]] == key[2])
    return found


SUMS = {
    "first cell": {("small", SIZES[0]): 1.0},
    "last cell": {("large", SIZES[-1]): 1.0},
    "last step": {("large", SIZES[-1]): 1.0, ("large", SIZES[-2]): -1.0},
    "two learners": {("large", SIZES[-1]): 1.0, ("other", SIZES[-1]): -1.0},
    "two learners, first size": {("simple", SIZES[0]): 1.0, ("other", SIZES[0]): -1.0},
}


def true_variances(name: str, n_pairs: int = N_FOR_TRUTH) -> dict[str, tuple[float, float]]:
    """Of the sums by what it comes from, replicates and test rows: from pairs of studies that share test rows alone."""
    world = replace(WORLDS[name], tails=0)  # tails are scaled to the same variance
    planted = planted_of(world.curves(CHAPTER))
    cells = {cell: planted[cell] for weights in SUMS.values() for cell in weights}
    rng = np.random.default_rng(0)
    found: dict[str, list[tuple[float, ...]]] = {key: [] for key in SUMS}
    for _ in range(n_pairs):
        rows = test_rows(world, rng)
        both = [simulated(cells, world, rng, rows).means() for _ in range(2)]
        for key, weights in SUMS.items():
            found[key].append(tuple(sum(w * of.get(cell, np.nan) for cell, w in weights.items()) for of in both))
    variances = {}
    for key, pairs in found.items():
        a, b = np.array([pair for pair in pairs if np.isfinite(pair).all()]).T
        test_variance = max(0.0, float(((a - a.mean()) * (b - b.mean())).mean()))
        variances[key] = (max(0.0, float((a.var() + b.var()) / 2) - test_variance), test_variance)
    return variances


# Holds the truth, is marked, width, width with the true variances, and with these and a normal quantile.
Band = tuple[bool, bool, float, float, float]


def bands(name: str, truths: Mapping[str, tuple[float, float]], rng: np.random.Generator) -> dict[str, Band]:
    """The 95 % intervals of cells and differences in one study; truths: true variances of each."""
    world = WORLDS[name]
    planted = planted_of(world.curves(CHAPTER))
    study = simulated(planted, world, rng)
    found: dict[str, Band] = {}
    for key, weights in SUMS.items():
        truth = 0.0
        for (learner, n), weight in weights.items():
            failures = 10 * np.hypot(world.draw, world.initialisation) * _spread(learner, world) * world.broken
            truth += weight * (planted[learner, n] - failures)
        e = study.estimate(weights)
        low, high = e.interval(0.95)
        if np.isfinite(low):
            replicate_variance, test_variance = truths[key]
            width = np.subtract(
                *replace(e, replicate_variance=replicate_variance, test_variance=test_variance).interval(0.95)[::-1]
            )
            is_marked = any(is_cell_marked(study, cell, world) for cell in weights)
            normal = 2 * 1.96 * np.sqrt(replicate_variance + test_variance)
            found[key] = (bool(low <= truth <= high), is_marked, high - low, float(width), float(normal))
    return found


def is_cell_marked(study: Study, cell: CellName, world: World) -> bool:
    """By those marks of cells.json that ask for care with a band, but for missing replicates, which bands allow for."""
    n_wrong = (1 - study.means().get(cell, 1.0)) * world.n_test
    return (
        cell[0] in study.spread.failing
        or cell[1] / study.n_pool > MOST_SHARED
        or 0 < world.groups < LEAST_GROUPS
        or (world.metric == "accuracy" and n_wrong < LEAST_WRONG)
    )


def covered(name: str, truths: Mapping[str, tuple[float, float]], n: int, seed: Sequence[int]) -> dict[str, list[Band]]:
    rng = np.random.default_rng(seed)
    found: dict[str, list[Band]] = {}
    for _ in range(n):
        for key, band in bands(name, truths, rng).items():
            found.setdefault(key, []).append(band)
    return found


def seeds(n_studies: int, *of: int) -> list[tuple[int, tuple[int, ...]]]:
    """Of every chunk how many studies it has, and its seed."""
    starts = range(0, n_studies, CHUNK)
    return [(min(CHUNK, n_studies - start), (*of, start)) for start in starts]


def measured_cases(cases: Sequence[Case], n_studies: int, pool: Pool) -> list[dict[str, Any]]:
    """One row a verdict of a case."""
    chunks = [[pool.apply_async(counted, (case, n, seed)) for n, seed in seeds(n_studies, i)]
              for i, case in enumerate(cases)]  # fmt: skip
    rows = []
    for case, of_case in zip(cases, chunks, strict=True):
        total = sum((chunk.get() for chunk in of_case), Counter())
        for label, statement, of in case.counted:
            n = total[label, statement, of]
            rows.append({"world": case.world, "statement": statement, "verdict": of, "case": label, "n": n_studies,
                         "count": n, "rate": n / n_studies})  # fmt: skip
    return rows


def measured_bands(names: Sequence[str], n_studies: int, pool: Pool) -> list[dict[str, Any]]:
    """One row a sum of cells of a world."""
    truths = pool.map(true_variances, names, chunksize=1)
    rows = []
    for i, (name, known) in enumerate(zip(names, truths, strict=True)):
        parts = pool.starmap(partial(covered, name, known), seeds(n_studies, 1000, i))
        for key in SUMS:
            found = [band for part in parts for band in part.get(key, [])]
            held, marked, width, known_width, normal = (np.array(of) for of in zip(*found, strict=True))
            rows.append({
                "world": name, "band": key, "n": int((~marked).sum()), "held": int(held[~marked].sum()),
                "held_of_all": float(held.mean()), "marked": float(marked.mean()),
                "times_as_wide": float(np.median(width) / np.median(known_width)),
                "times_as_normal": float(np.median(width) / np.median(normal)),
            })  # fmt: skip
    return rows


def significant(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What goes beyond its limit, in words."""
    p_values = {}
    for row in rows:
        if "verdict" in row:
            what = f"{row['statement']} {row['verdict']}, {row['case'] or 'at its boundary'}, {row['world']}"
            p_values[f"{what}: {row['rate']:.3f}"] = binomtest(row["count"], row["n"], MOST_ERRORS, "greater").pvalue
        elif row["n"]:
            what = f"{row['band']}, {row['world']}: {row['held'] / row['n']:.3f}"
            p_values[what] = binomtest(row["held"], row["n"], LEAST_HELD, "less").pvalue
    found = [what for what, p in holm(p_values).items() if p <= LEVEL]
    for row in rows:
        if "band" in row and row["n"] and row["times_as_wide"] > MOST_WIDTH:
            found.append(f"{row['band']}, {row['world']}: {row['times_as_wide']:.2f} times as wide")
        if "band" in row and row["world"] in CLEAN and row["marked"] > MOST_MARKED:
            found.append(f"{row['band']}, {row['world']}: {row['marked']:.3f} of clean cells are marked")
    return found


def table(rows: Sequence[dict[str, Any]], row_of: str, shown: Callable[[dict[str, Any]], tuple[str, str]]) -> str:
    """In Markdown; shown: of an entry the name of its column and what stands in it."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        column, text = shown(row)
        cells.setdefault(row[row_of], {})[column] = text
    columns = list(dict.fromkeys(column for of in cells.values() for column in of))
    lines = [f"| {row_of} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(of.get(c, '') for c in columns)} |" for name, of in cells.items()]
    return "\n".join(lines)


def shown_verdict(row: dict[str, Any]) -> tuple[str, str]:
    return ", ".join(filter(None, [f"{row['statement']} {row['verdict']}", row["case"]])), _short(row["rate"])


def shown_band(row: dict[str, Any]) -> tuple[str, str]:
    """How often it holds the truth in cells without a mark, else in brackets; how many times as wide as with the true
    variances and the same degrees of freedom, and as with the true variances and a normal quantile."""
    held = _short(row["held"] / row["n"]) if row["marked"] < 0.5 else f"({_short(row['held_of_all'])})"
    return row["band"], f"{held}, {row['times_as_wide']:.2f}, {row['times_as_normal']:.2f}"


def _short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=2000, help="a case")
    parser.add_argument("--only", nargs="+", choices=("verdicts", "bands", "power"),
                        default=("verdicts", "bands", "power"))  # fmt: skip
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report: dict[str, list[dict[str, Any]]] = {}
    with get_context("fork").Pool(arguments.processes) as pool:
        if "bands" in arguments.only:
            report["bands"] = measured_bands(arguments.worlds, arguments.studies, pool)
            print(table(report["bands"], "world", shown_band) + "\n", flush=True)
        if "verdicts" in arguments.only:
            names = [name for name in arguments.worlds if name in OF_VERDICTS]
            cases = [case for name in names for case in at_boundaries(name)]
            report["verdicts"] = measured_cases(cases, arguments.studies, pool)
            print(table(report["verdicts"], "world", shown_verdict) + "\n", flush=True)
        if "power" in arguments.only:
            report["power"] = measured_cases(of_power(), arguments.studies, pool)
            for row in report["power"]:
                row["what"] = f"{row['statement']} {row['verdict']}: {row['case']}"
            print(table(report["power"], "what", lambda row: ("power", _short(row["rate"]))) + "\n", flush=True)
    for what in significant([*report.get("bands", []), *report.get("verdicts", [])]):
        print(f"beyond its limit: {what}")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
