"""The verdicts on planted curves, at the boundaries of the hypotheses, and against statsmodels and scipy."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from stages.evaluate import claims, shapes
from stages.evaluate.claims import LISTED_FIRST, TUNED
from stages.evaluate.claims.order import _tau
from stages.evaluate.claims.verdicts import STATEMENTS
from stages.evaluate.estimates import Scores
from stages.evaluate.params import Claims
from stages.evaluate.study import Study
from stages.evaluate.sums import CellName
from tests import simulations

SIZES = [1024, 131_072, 524_288, 1_048_576]
LEARNERS = ["logistic", "boosting", "small", "medium", "large"]
NETWORKS = frozenset(["small", "medium", "large"])
RULES = Claims(alpha=0.05, simple="logistic", networks=["small", "medium", "large"], settled_tau=0.8, engineered=[])
GAIN = 0.01
FIELDS = {"networks": NETWORKS, "smallest_gain": GAIN, "n_resamples": 1000}

CHAPTER = {
    "logistic": [0.70, 0.75, 0.75, 0.75],
    "boosting": [0.68, 0.76, 0.78, 0.79],
    "small": [0.64, 0.75, 0.78, 0.79],
    "medium": [0.62, 0.76, 0.81, 0.83],
    "large": [0.60, 0.77, 0.84, 0.88],
}
CONTRARY = {
    "logistic": [0.70, 0.76, 0.80, 0.84],
    "boosting": [0.80, 0.86, 0.88, 0.92],
    "small": [0.60, 0.66, 0.70, 0.74],
    "medium": [0.50, 0.56, 0.60, 0.64],
    "large": [0.40, 0.46, 0.50, 0.54],
}


def simulated_study(cells: Mapping[CellName, float], rng: np.random.Generator, **options: Any) -> Study:
    of_study = FIELDS | {key: options.pop(key) for key in FIELDS if key in options}
    return simulations.simulated_study(cells, rng, of_study, **options)


def planted(curves: dict[str, list[float]]) -> dict[CellName, float]:
    return {(name, n): value for name, values in curves.items() for n, value in zip(SIZES, values, strict=True)}


def verdicts(study: Study, rules: Claims = RULES) -> dict[str, str]:
    found = claims.tested(study, rules)
    assert [claim.id for claim in found] == list(STATEMENTS)
    return {claim.id: claim.verdict for claim in found}


def test_where_the_chapter_holds_all_statements_are_supported():
    study = simulated_study(planted(CHAPTER), np.random.default_rng(0), n_test=20_000)
    assert set(verdicts(study).values()) == {"supported"}


def test_where_the_contrary_holds_all_statements_are_refuted():
    study = simulated_study(planted(CONTRARY), np.random.default_rng(0), n_test=20_000)
    assert set(verdicts(study).values()) == {"refuted"}


def test_few_test_rows_leave_small_differences_inconclusive():
    curves = {name: [0.7, 0.72, 0.73, 0.735 + 0.001 * i] for i, name in enumerate(LEARNERS)}
    study = simulated_study(planted(curves), np.random.default_rng(1), n_test=200, spread=0.01)
    found = verdicts(study)
    assert found.pop("both_scales") != "supported"  # level with so many cells it is hardly the best of all
    assert set(found.values()) == {"inconclusive"}


def test_what_the_study_lacks_is_not_tested():
    curves = {name: CHAPTER[name] for name in ("logistic", "boosting", "small")}
    cells = {cell: value for cell, value in planted(curves).items() if cell[1] < 1_000_000}
    found = verdicts(simulated_study(cells, np.random.default_rng(0), n_test=5000))
    assert {name for name, verdict in found.items() if verdict == "not tested"} == {
        "bigger_network", "both_scales", "million", "reliable"}  # fmt: skip
    one = verdicts(simulated_study({("boosting", 64): 0.8}, np.random.default_rng(0)))
    assert set(one.values()) == {"not tested"}


def at_the_boundary(name: str) -> dict[str, list[float]]:
    """Curves for which the null hypothesis of a statement just holds, everything else clearly supported."""
    curves = {learner: list(values) for learner, values in CHAPTER.items()}
    match name:
        case "plateau":
            curves["logistic"][-2] = curves["logistic"][-1] - GAIN
        case "small_network":
            curves["small"][-1] = curves["logistic"][-1] + GAIN
        case "bigger_network":
            curves["large"][-1] = curves["medium"][-1] + GAIN
        case "both_scales" | "million":
            curves["boosting"][-1] = curves["large"][-1] - GAIN
        case "reliable":  # another learner brings as much
            curves["boosting"][-1] = curves["logistic"][-1] + curves["large"][-1] - curves["medium"][-2]
        case "small_data":  # one of ten pairs reverses, tau is .8; three learners are level at the smallest size
            curves = {
                "logistic": [0.60, 0.7, 0.75, 0.75],
                "boosting": [0.60, 0.7, 0.78, 0.78],
                "small": [0.60, 0.7, 0.81, 0.81],
                "medium": [0.72, 0.7, 0.84, 0.84],
                "large": [0.70, 0.7, 0.87, 0.87],
            }
    return curves


def verdict_of(name: str, study: Study) -> str:
    """The verdict on one statement alone."""
    if name in ("small_network", "bigger_network"):
        return claims.orderings(study, RULES)[name == "bigger_network"].verdict
    return getattr(claims, name)(study, RULES).verdict


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STATEMENTS))
def test_at_the_boundary_a_statement_is_seldom_supported(name):
    rng = np.random.default_rng(3)
    cells = planted(at_the_boundary(name))
    n_supported = 0
    for _ in range(200):
        study = simulated_study(cells, rng, n_replicates=3, n_test=3000)
        n_supported += verdict_of(name, study) == "supported"
    assert n_supported <= 16


def of_values(cells: dict[CellName, list[float]], smallest_gain: float = GAIN) -> Study:
    """A study without noise from test rows."""
    scores = {name: Scores(np.array(values), np.zeros((len(values), 10))) for name, values in cells.items()}
    return Study(scores, networks=NETWORKS, smallest_gain=smallest_gain)


def test_plateau_agrees_with_the_equivalence_test_of_statsmodels():
    before, after = [0.70, 0.712, 0.703, 0.706], [0.704, 0.711, 0.708, 0.709]
    study = of_values({("logistic", 64): before, ("logistic", 128): after})
    found = claims.plateau(study, RULES)
    margin = GAIN
    assert found.evidence.p_supported == pytest.approx(
        ttost_paired(np.array(after), np.array(before), -margin, margin)[0]
    )
    assert found.evidence.effect == pytest.approx(np.mean(after) - np.mean(before))


def test_an_ordering_agrees_with_the_paired_t_test_of_scipy():
    values = {"logistic": [0.70, 0.71, 0.69], "small": [0.72, 0.74, 0.73], "medium": [0.75, 0.74, 0.755],
              "large": [0.78, 0.79, 0.77]}  # fmt: skip
    study = of_values({(name, n): v for name, v in values.items() for n in (64, 128)}, smallest_gain=0.0)
    found = claims.tested(study, RULES)
    steps = [("logistic", "small"), ("small", "medium"), ("medium", "large")]
    p_values = sorted(stats.ttest_rel(values[b], values[a], alternative="greater").pvalue for a, b in steps)
    adjusted = np.maximum.accumulate(np.minimum(1, np.array([3, 2, 1]) * p_values))
    tests = (found[1].evidence.tests or []) + (found[2].evidence.tests or [])
    assert sorted(test.p_supported for test in tests) == pytest.approx(adjusted)


def test_tau_agrees_with_scipy():
    rng = np.random.default_rng(0)
    for _ in range(20):
        order, final = rng.permutation(6), rng.permutation(6)
        ranks = [np.argsort(names) for names in (order, final)]
        assert _tau([str(i) for i in order], [str(i) for i in final]) == pytest.approx(
            stats.kendalltau(*ranks).statistic
        )


def test_engineered_features_that_surely_decide_support_small_data():
    curves = {"raw": [0.60, 0.65, 0.70, 0.75], "engineered": [0.70, 0.72, 0.74, 0.77]}
    study = simulated_study(planted(curves), np.random.default_rng(0), n_test=20_000)
    rules = RULES.model_copy(update={"engineered": [["engineered", "raw"]]})
    assert verdicts(study)["small_data"] == "refuted"  # the order stays
    assert verdicts(study, rules)["small_data"] == "supported"


def test_the_largest_network_that_is_surely_best_is_so_in_nearly_all_resamples():
    study = simulated_study(planted(CHAPTER), np.random.default_rng(0), n_test=20_000, smallest_gain=0.0)
    found = claims.tested(study, RULES)
    assert (found[3].evidence.probability or 0) > 0.97
    assert next(iter(found[3].evidence.probability_of_best or {})) == "large-1048576"


def test_ties_with_the_largest_network_refute_nothing():
    curves = CHAPTER | {name: [*CHAPTER[name][:3], CHAPTER["large"][3]] for name in ("boosting", "medium")}
    found = [verdict_of("both_scales", simulated_study(planted(curves), np.random.default_rng(seed), n_test=3000))
             for seed in range(8)]  # fmt: skip
    assert "refuted" not in found
    ahead = CHAPTER | {"boosting": [*CHAPTER["boosting"][:3], CHAPTER["large"][3] + 0.04]}
    study = simulated_study(planted(ahead), np.random.default_rng(0), n_test=3000)
    assert verdict_of("both_scales", study) == "refuted"


def test_a_corner_without_common_replicates_is_not_tested():
    cells = {(name, n): [0.7, 0.8, np.nan] for name in ("logistic", "medium") for n in (64, 128)}
    cells |= {("large", 64): [0.7, 0.8, np.nan], ("large", 128): [np.nan, 0.9, 0.91]}
    found = claims.both_scales(of_values(cells), RULES)
    assert found.verdict == "not tested"
    assert found.evidence.reason == "no cell has two replicates in common with large-128"


def test_the_most_reliable_way_is_told_among_those_that_the_study_has():
    curves = CHAPTER | {"engineered": [0.7, 0.75, 0.76, 0.77]}
    tuning = {(f"large{TUNED}", 4096): 0.772, (f"large{LISTED_FIRST}", 4096): 0.77}
    both = simulated_study(planted(curves) | tuning, np.random.default_rng(0), n_test=20_000)
    study = replace(
        both, cells={cell: both.cells[cell] for cell in planted(curves)}, tuning={of: both.cells[of] for of in tuning}
    )
    rules = RULES.model_copy(update={"engineered": [["engineered", "logistic"]]})
    found = claims.reliable(study, rules)
    assert found.verdict == "supported"
    assert [way.way for way in found.evidence.ways or []] == [
        "a bigger network on more data", "another learner", "engineered features", "tuning"]  # fmt: skip
    assert found.evidence.effect == pytest.approx(0.88 - 0.81, abs=0.02)
    behind = planted(curves | {"boosting": [0.7, 0.75, 0.8, 0.9]})
    study = simulated_study(behind, np.random.default_rng(0), n_test=20_000)
    found = claims.reliable(study, rules)
    assert (found.verdict, found.evidence.not_tested) == ("refuted", ["tuning"])


def test_the_overtake_size_is_where_the_planted_curves_cross():
    sizes = [64, 128, 256, 512]
    curves = {"boosting": [0.70, 0.72, 0.74, 0.76], "large": [0.60, 0.68, 0.76, 0.84], "small": [0.5, 0.5, 0.5, 0.5],
              "medium": [0.8, 0.82, 0.84, 0.86]}  # fmt: skip
    cells = {(name, n): v for name, values in curves.items() for n, v in zip(sizes, values, strict=True)}
    study = simulated_study(cells, np.random.default_rng(0), n_test=50_000, spread=0.001)
    found = shapes.overtakes(study, 0.95)
    by_network = {item["network"]: item for item in found}
    large = by_network["large"]
    crossing = 128 * 2 ** (0.04 / 0.06)  # the difference goes from -.04 at 128 to +.02 at 256
    assert large["low"] < crossing < large["high"]
    assert large["n_labels"] == pytest.approx(crossing, rel=0.1)
    assert large["probability"] > 0.97
    assert (by_network["small"]["n_labels"], by_network["small"]["probability"]) == (None, 0)
    assert by_network["medium"]["n_labels"] == 64


def test_ill_behaved_curves_are_named_and_others_are_not():
    sizes = [64, 128, 256, 512]
    curves = {"rising": [0.6, 0.7, 0.75, 0.8], "peaking": [0.7, 0.6, 0.7, 0.8], "falling": [0.8, 0.78, 0.75, 0.7]}
    cells = {(name, n): v for name, values in curves.items() for n, v in zip(sizes, values, strict=True)}
    study = simulated_study(cells, np.random.default_rng(0), n_test=20_000)
    found = {item["learner"]: item for item in shapes.ill_behaved(study, 0.05)}
    assert set(found) == {"peaking", "falling"}
    assert (found["peaking"]["shape"], found["peaking"]["from"], found["peaking"]["to"]) == ("peak", 64, 128)
    assert found["peaking"]["recovers_at"] == 256
    assert (found["falling"]["shape"], found["falling"]["to"]) == ("worse with more data", 512)


@pytest.mark.slow
def test_flat_curves_are_seldom_called_ill_behaved():
    rng = np.random.default_rng(0)
    cells = dict.fromkeys(product(("a", "b"), (64, 128, 256, 512)), 0.8)
    n_found = sum(bool(shapes.ill_behaved(simulated_study(cells, rng, n_test=2000), 0.05)) for _ in range(200))
    assert n_found <= 16


def test_the_last_step_is_the_paired_gain():
    study = of_values({("a", 64): [0.6, 0.7, 0.65], ("a", 128): [0.7, 0.78, 0.76]})
    (step,) = shapes.last_steps(study, 0.95)
    expected = stats.ttest_rel([0.7, 0.78, 0.76], [0.6, 0.7, 0.65]).confidence_interval(0.95)
    assert (step["low"], step["high"]) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("n_missing", [2, 3])
def test_nothing_is_supported_while_a_rival_has_too_few_fits_to_be_compared(n_missing):
    fits = {name: [values[-1] - 0.001, values[-1], values[-1] + 0.001] for name, values in CHAPTER.items()}
    cells = {(name, n): list(of) for name, of in fits.items() for n in SIZES[-2:]}
    cells["boosting", SIZES[-1]][:n_missing] = [np.nan] * n_missing
    study = of_values(cells | {(name, SIZES[0]): [0.5, 0.501, 0.502] for name in LEARNERS})
    for test in (claims.both_scales, claims.million):
        found = test(study, RULES)
        assert found.verdict == "inconclusive"
        assert "boosting" in found.evidence.reason
        assert "cannot be compared" in found.evidence.reason
