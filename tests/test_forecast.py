"""The forecaster against direct integration and planted curves; forecast rows, grades and labels to reach."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from stages.contract.advice import Until
from stages.evaluate import laws
from stages.evaluate.estimates import Scores
from stages.evaluate.forecast import FACTORS, Measured, forecast_rows, grades, labels_until, measured_curves
from stages.evaluate.laws import Curve, Mixture
from stages.evaluate.metrics import METRICS
from stages.evaluate.study import Study

SIZES = np.array([1024.0 * 2**i for i in range(7)])
FLAT = {key: np.ones(n) for key, n in laws.GRIDS.items()}


def planted(x: Any) -> Any:
    return 0.2 + 8 * x**-0.5


def log_density(residual: np.ndarray, covariance: np.ndarray, level: float) -> float:
    return float(stats.multivariate_normal(np.zeros(len(residual)), covariance).logpdf(residual - level))


def test_log_weights_are_the_evidence_with_the_level_integrated_out():
    t = np.log(SIZES / SIZES[-1])
    curve = Curve(SIZES, planted(SIZES), np.full(7, 0.002), laws.log_priors(FLAT, 0.0, has_errors=True))
    found = curve.posterior(SIZES[-1:], n_nats=np.inf)
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(len(laws.AMPLITUDES)), rng.integers(len(found.log_weights[0]))) for _ in range(5)]
    expected = []
    for amplitude, shape in pairs:
        walk, drift, noise, misfit = laws.AMPLITUDES[amplitude]
        near, integrated = laws.kernels(t, t)
        covariance = laws.WALKS[walk] ** 2 * near + laws.DRIFTS[drift] ** 2 * integrated
        own = laws.NOISES[noise] ** 2 + (laws.ERROR_SHARES[noise] * 0.002 / curve.y) ** 2
        own = own + (laws.MISFITS[misfit] * np.exp(-t)) ** 2
        residual = np.log(curve.y) - laws.shapes(t)[:, shape]

        of_residual = partial(log_density, residual, covariance + np.diag(own))
        peak = optimize.minimize_scalar(lambda mu, f=of_residual: -f(mu), bracket=(-2.0, 0.0))
        scale = -peak.fun
        mass = integrate.quad(lambda mu, f=of_residual, s=scale: np.exp(f(mu) - s), peak.x - 0.5, peak.x + 0.5,
                              points=[peak.x], limit=400)[0]  # fmt: skip
        expected.append(scale + np.log(mass))
    values = np.array([found.log_weights[pair] for pair in pairs])
    np.testing.assert_allclose(values - values[0], np.array(expected) - expected[0], atol=1e-4)


def test_the_kernels_are_those_of_a_walk_and_of_an_integrated_walk():
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(20_000, 400)) * np.sqrt(0.01)
    walks = np.hstack([np.zeros((20_000, 1)), steps.cumsum(axis=1)])  # at 0, .01, .., 4
    integrated = walks.cumsum(axis=1) * 0.01
    places = np.array([1.0, 2.5, 4.0])
    at = (places * 100).astype(int)
    near, twice = laws.kernels(-places, -places)
    np.testing.assert_allclose(np.cov(walks[:, at].T), near, rtol=0.05)
    np.testing.assert_allclose(np.cov(integrated[:, at].T), twice, rtol=0.05)
    assert not laws.kernels(np.array([-1.0]), np.array([1.0]))[0].any()


def test_the_quantiles_are_those_of_the_mixture():
    rng = np.random.default_rng(0)
    weights, means, deviations = rng.dirichlet(np.ones(12)).reshape(3, 4), rng.normal(size=(3, 1, 4)), [0.1, 0.3, 1.0]
    mixture = Mixture(np.log(weights) + 5, means, np.array(deviations)[:, None] ** 2, tail=0.1)
    levels = [0.025, 0.1, 0.5, 0.9, 0.975]
    found = mixture.quantiles(levels)[0]
    cumulative = [
        sum(
            weights[i, j] * share * stats.norm.cdf(q, means[i, 0, j], factor * deviations[i])
            for i in range(3)
            for j in range(4)
            for factor, share in ((1, 0.9), (laws.TAIL_WIDTH, 0.1))
        )
        for q in found
    ]
    assert cumulative == pytest.approx(levels, abs=0.01)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_planted_power_law_is_forecast_within_its_interval(factor):
    curve = Curve(SIZES, planted(SIZES), np.full(7, 1e-4))
    (low, middle, high) = curve.quantiles(factor * SIZES[-1], (0.1, 0.5, 0.9))[0]
    assert low < planted(factor * SIZES[-1]) < high
    assert middle == pytest.approx(planted(factor * SIZES[-1]), rel=0.03)


def test_a_flat_curve_stays_flat_and_intervals_widen_with_distance():
    curve = Curve(SIZES, np.full(7, 0.3), np.full(7, 0.001))
    quantiles = curve.quantiles(SIZES[-1] * np.array([1, 2, 4, 8]), (0.1, 0.5, 0.9))
    assert quantiles[:, 1] == pytest.approx(0.3, rel=0.02)
    assert (np.diff(quantiles[:, 2] - quantiles[:, 0]) > 0).all()


def test_scaling_x_or_y_scales_the_forecast():
    y = planted(SIZES)
    ahead = Curve(SIZES, y).quantiles(4 * SIZES[-1], (0.1, 0.5, 0.9))
    scaled = Curve(10 * SIZES, 3 * y).quantiles(40 * SIZES[-1], (0.1, 0.5, 0.9))
    np.testing.assert_allclose(scaled, 3 * ahead, rtol=1e-9)


@pytest.mark.parametrize("y", [[0.3, 0.2, 0.1], [0.3, 0.2, 0.1, 0.0], [0.3, 0.2, 0.1, np.nan]])
def test_what_cannot_be_forecast_is_refused(y):
    with pytest.raises(ValueError, match=r"points; a forecast needs at least 4|every y must be above 0"):
        Curve(SIZES[: len(y)], np.array(y))


def learner(losses: np.ndarray, name: str = "a") -> Measured:
    return Measured(name, SIZES[: len(losses)], losses, np.full(len(losses), 1e-3))


@pytest.mark.parametrize("metric", [METRICS["error"], METRICS["roc_auc"]], ids=["loss", "gain"])
def test_the_rows_hold_fits_forecasts_and_backtests_in_units_of_the_metric(metric):
    rows = forecast_rows(learner(planted(SIZES)), metric)
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in ("fitted", "forecast", "backtest")}
    assert [row["n_train"] for row in kinds["forecast"]] == [factor * 65536 for factor in FACTORS]
    assert [row["largest_seen"] for row in kinds["backtest"]] == [32768, 16384, 8192]
    assert {row["n_train"] for row in kinds["backtest"]} == {65536}
    for row in rows:
        assert row["low95"] < row["low80"] < row["predicted"] < row["high80"] < row["high95"]
        truth = planted(np.array(row["n_train"]))
        assert row["predicted"] == pytest.approx(metric.of_loss(truth), rel=0.03)
    last = planted(SIZES[-1])
    assert {row["measured"] for row in kinds["backtest"]} == {metric.of_loss(last)}


@pytest.mark.parametrize(("last", "seen"), [(100_000, [65536, 32768, 16384]), (180_000, [65536, 32768, 16384]),
                                            (65536, [32768, 16384, 8192])])  # fmt: skip
def test_where_the_last_step_is_no_doubling_backtests_hide_whole_steps(last, seen):
    sizes = np.append(SIZES[last > SIZES], last)
    curve = Measured("a", sizes, planted(sizes), np.full(len(sizes), 1e-3))
    rows = forecast_rows(curve, METRICS["error"])
    assert [row["largest_seen"] for row in rows if row["kind"] == "backtest"] == seen
    assert [row["n_train"] for row in rows if row["kind"] == "forecast"] == [factor * last for factor in FACTORS]


def test_a_backtest_does_not_know_what_it_hides():
    hidden = planted(SIZES)
    other = hidden.copy()
    other[-1] *= 2
    found = [
        [row["predicted"] for row in forecast_rows(learner(y), METRICS["error"]) if row["kind"] == "backtest"]
        for y in (hidden, other)
    ]
    assert found[0] == found[1]


def test_grades_count_misses_and_coverage():
    rows = forecast_rows(learner(planted(SIZES)), METRICS["error"]) + forecast_rows(
        learner(np.full(7, 0.3), "b"), METRICS["error"]
    )
    found = {grade["factor"]: grade for grade in grades(rows, METRICS["error"])}
    assert set(found) == {2, 4, 8}
    tests = [row for row in rows if row["kind"] == "backtest" and row["largest_seen"] == 16384]
    misses = [abs(np.log(row["predicted"] / row["measured"])) for row in tests]
    assert found[4]["mean_log_error"] == pytest.approx(np.mean(misses))
    assert found[4]["last_value_log_error"] == pytest.approx(np.log(planted(SIZES[4]) / planted(SIZES[6])) / 2)
    assert found[4]["n_forecasts"] == found[4]["covered95"] == 2


def test_short_curves_and_perfect_learners_have_no_forecast():
    assert forecast_rows(learner(np.array([0.3, 0.2, 0.1])), METRICS["error"]) == []
    assert forecast_rows(learner(np.array([0.3, 0.2, 0.1, 0.0])), METRICS["error"]) == []
    assert labels_until(learner(np.array([0.3, 0.2, 0.1])), 0.01).n_labels is None


def test_labels_until_an_error_are_those_of_the_planted_law():
    curve = learner(5 * SIZES**-0.4)
    found = labels_until(curve, float(5 * (4 * 65536) ** -0.4))
    assert (found.low80 or 0) <= 4 * 65536 <= (found.high80 or 0)
    assert found.n_labels == pytest.approx(4 * 65536, rel=0.2)
    curve = learner(planted(SIZES))
    beyond = Until(learner="a", is_measured=False, n_labels=None, low80=None, high80=None)
    assert labels_until(curve, 0.05) == beyond
    assert labels_until(curve, float(curve.loss[2])).n_labels == 4096


def test_measured_curves_turn_the_sign_back_and_leave_out_cells_without_a_band():
    accuracy = {("a", 64): [0.7, 0.8, 0.9], ("a", 128): [0.9, np.nan, np.nan]}
    study = Study({name: Scores(np.array(v), np.zeros((3, 2))) for name, v in accuracy.items()})
    (curve,) = measured_curves(study)
    assert list(curve.n_train) == [64]
    assert curve.loss == pytest.approx([0.2])
    assert curve.errors == pytest.approx([0.1 / np.sqrt(3)])
