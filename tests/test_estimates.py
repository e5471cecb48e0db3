"""Intervals, tests and variance components against scipy and statsmodels, and their coverage in simulations."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from stages.evaluate.estimates import Estimate, Scores, estimate, holm, variance_split
from stages.evaluate.study import Study
from tests.simulations import simulated_study


def test_without_noise_in_the_test_rows_the_band_is_the_t_interval():
    values = np.array([0.61, 0.64, 0.66, 0.60])
    found = estimate(values, np.zeros((4, 50)))
    assert found.interval(0.9) == pytest.approx(stats.t.interval(0.9, 3, values.mean(), stats.sem(values)))
    assert found.p_above(0.6) == pytest.approx(stats.ttest_1samp(values, 0.6, alternative="greater").pvalue)
    assert found.p_below(0.66) == pytest.approx(stats.ttest_1samp(values, 0.66, alternative="less").pvalue)


def test_without_spread_of_replicates_the_band_is_that_of_the_rows():
    rows = np.random.default_rng(0).normal(0.3, 0.1, size=80)
    found = estimate(np.full(3, rows.mean()), np.tile((rows - rows.mean()) / 80, (3, 1)))
    assert found.standard_error == pytest.approx(stats.sem(rows))
    assert found.interval(0.95) == pytest.approx(stats.t.interval(0.95, 79, rows.mean(), stats.sem(rows)))


def test_the_degrees_of_freedom_are_those_of_welch():
    a, b = np.random.default_rng(0).normal(size=(2, 9)) * [[1], [4]]
    b = b[:6]
    found = Estimate(a.mean() - b.mean(), len(a), a.var(ddof=1) / len(a), b.var(ddof=1) / len(b), len(b), len(a) - 1)
    assert found.degrees_of_freedom == pytest.approx(stats.ttest_ind(a, b, equal_var=False).df)


def test_p_values_and_intervals_say_the_same():
    found = Estimate(0.3, 3, 0.02, 0.01, 500, 2)
    for confidence in (0.5, 0.9, 0.99, 0.9999):
        low, high = found.interval(confidence)
        assert found.p_above(low) == pytest.approx((1 - confidence) / 2)
        assert found.p_below(high) == pytest.approx((1 - confidence) / 2)
        assert found.p_below(low) == pytest.approx((1 + confidence) / 2)
    assert (found.p_above(-1e9), found.p_above(1e9)) == (0, 1)


def test_quantiles_lie_between_satterthwaites_and_cochrans():
    found = Estimate(0.0, 3, 0.02, 0.01, 500, 2)
    narrow = stats.t.ppf(0.975, found.degrees_of_freedom)
    wide = (2 * stats.t.ppf(0.975, 2) + stats.t.ppf(0.975, 499)) / 3
    assert found.quantile(0.025) == pytest.approx((narrow + wide) / 2)


def test_rows_of_one_group_count_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    influences = np.repeat(rng.normal(size=20), 10)  # all rows of a group alike: 20 observations, not 200
    influences -= influences.mean()
    alone = Scores.of(np.zeros(1), influences[None], None)
    grouped = Scores.of(np.zeros(1), influences[None], groups)
    expected = influences[::10].var(ddof=1) / 20
    assert estimate(grouped.values, grouped.shares).test_variance == pytest.approx(expected)
    assert estimate(alone.values, alone.shares).test_variance < expected / 9


def test_a_difference_is_paired_by_replicate_and_row():
    planted = {("a", 64): 0.8, ("b", 64): 0.79}
    study = simulated_study(planted, np.random.default_rng(0))
    apart = [study.estimate({cell: 1}) for cell in planted]
    together = study.estimate({("a", 64): 1, ("b", 64): -1})
    assert together.mean == pytest.approx(apart[0].mean - apart[1].mean)
    assert together.test_variance < 0.6 * (apart[0].test_variance + apart[1].test_variance)
    itself = study.estimate({("a", 64): 0.0})
    assert (itself.mean, itself.standard_error) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("n_replicates", [3, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.05])
def test_bands_cover_the_planted_value_at_their_nominal_rate(n_replicates, spread):
    rng = np.random.default_rng(n_replicates)
    n_simulations, covered, covered_gain = 1500, 0, 0
    planted = {("a", 64): 0.8, ("a", 128): 0.82}
    for _ in range(n_simulations):
        study = simulated_study(planted, rng, n_replicates=n_replicates, n_test=400, spread=spread)
        low, high = study.estimate({("a", 64): 1}).interval(0.95)
        covered += low <= 0.8 <= high
        low, high = study.estimate({("a", 128): 1, ("a", 64): -1}).interval(0.95)
        covered_gain += low <= 0.02 <= high
    # Three standard deviations of a binomial of 1500 are .017.
    assert covered / n_simulations == pytest.approx(0.95, abs=0.017)
    assert covered_gain / n_simulations == pytest.approx(0.95, abs=0.017)


def test_replicates_without_a_fit_are_left_out():
    scores = Scores.of(np.array([0.5, np.nan, 0.7]), np.ones((3, 4)), None)
    other = Scores.of(np.array([0.4, 0.9, np.nan]), np.ones((3, 4)), None)
    study = Study({("a", 64): scores, ("b", 64): other})
    assert study.estimate({("a", 64): 1}).mean == pytest.approx(0.6)
    alone = study.estimate({("a", 64): 1, ("b", 64): -1})
    assert (alone.n_replicates, alone.mean) == (1, pytest.approx(0.1))
    assert np.isnan(alone.standard_error)
    assert alone.p_above(0) == alone.p_below(0) == 1


def test_resamples_have_the_mean_and_the_covariance_of_the_estimates():
    planted = {("a", 64): 0.8, ("a", 128): 0.85, ("b", 64): 0.7}
    study = simulated_study(planted, np.random.default_rng(2), of_study={"n_resamples": 40_000}, n_replicates=12)
    drawn = study.resamples
    for cell in planted:
        found = study.estimate({cell: 1})
        assert drawn[cell].mean() == pytest.approx(found.mean, abs=1e-3)
        # Student's t with 11 degrees of freedom is wider than normal: variance 11 / 9.
        assert drawn[cell].var() == pytest.approx(found.replicate_variance * 11 / 9 + found.test_variance, rel=0.05)
    gain = study.estimate({("a", 128): 1, ("a", 64): -1})
    variance = gain.replicate_variance * 11 / 9 + gain.test_variance
    # The covariance less the interaction need not be one: negative eigenvalues count as 0, so that it grows a little.
    assert (drawn["a", 128] - drawn["a", 64]).var() == pytest.approx(variance, rel=0.1)


def test_cells_of_more_replicates_are_paired_by_those_that_both_have():
    planted = {("a", 64): 0.8, ("a", 128): 0.85, ("b", 64): 0.7}
    full = simulated_study(planted, np.random.default_rng(2), n_replicates=12)
    cells = dict(full.cells)
    few = cells["a", 128]
    cells["a", 128] = Scores(few.values[:3], few.shares[:3]).padded(12)
    study = Study(cells)
    assert study.estimate({("a", 64): 1, ("b", 64): -1}) == full.estimate({("a", 64): 1, ("b", 64): -1})
    assert study.estimate({("a", 64): 1}).n_replicates == 12
    gain = study.estimate({("a", 128): 1, ("a", 64): -1})
    assert gain.n_replicates == 3
    assert gain.mean == pytest.approx(float((few.values - cells["a", 64].values)[:3].mean()))


def test_the_covariance_over_test_rows_is_right_for_cells_of_different_numbers_of_replicates():
    """Rows that add nothing but their interaction with replicates: all of it counts as replicates', whatever the
    numbers, and what two cells have in common of a replicate counts as often as both have it."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        of_replicate = rng.normal(size=(12, 200))
        cells = {
            ("a", 64): Scores(np.ones(12), of_replicate),
            ("b", 64): Scores(np.ones(3), of_replicate[:3]).padded(12),
        }
        found.append(Study(cells).test_covariance(list(cells)))
    np.testing.assert_allclose(np.mean(found, axis=0) / 200, 0, atol=0.01)


def test_resamples_are_the_same_for_the_same_seed_and_leave_out_single_replicates():
    scores = {("a", 64): Scores(np.array([0.5, np.nan]), np.zeros((2, 3)))}
    assert Study(scores).resamples == {}
    drawn = [
        simulated_study({("a", 64): 0.8}, np.random.default_rng(0), of_study={"seed": seed}).resamples["a", 64]
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).all()


def test_holm_agrees_with_statsmodels():
    p_values = [0.03, 0.001, 0.5, 0.011, 0.04]
    adjusted = holm(dict(enumerate(p_values)))
    expected = multipletests(p_values, method="holm")[1]
    assert [adjusted[i] for i in range(5)] == pytest.approx(expected)


def test_the_variance_split_agrees_with_the_analysis_of_variance_of_statsmodels():
    rng = np.random.default_rng(0)
    draws, inits = (axis.ravel() for axis in np.meshgrid(range(3), range(3), indexing="ij"))
    values = 0.8 + 0.03 * rng.normal(size=3)[draws] + 0.01 * rng.normal(size=3)[inits] + 0.002 * rng.normal(size=9)
    order = rng.permutation(9)  # fits in any order, and one more that is not crossed
    draws, inits, values = np.append(draws[order], 3), np.append(inits[order], 3), np.append(values[order], 0.5)
    found = variance_split(values, np.zeros((10, 5)), draws, inits)
    table = anova_lm(ols("y ~ C(d) + C(i)", pd.DataFrame({"y": values, "d": draws, "i": inits})[:9]).fit())
    squares = table["mean_sq"]
    assert found is not None
    assert found.residual == pytest.approx(squares["Residual"])
    assert found.draw == pytest.approx((squares["C(d)"] - squares["Residual"]) / 3)
    assert found.initialisation == pytest.approx((squares["C(i)"] - squares["Residual"]) / 3)


def test_the_variance_split_finds_planted_components():
    rng = np.random.default_rng(0)
    draws, inits = (axis.ravel() for axis in np.meshgrid(range(3), range(3), indexing="ij"))
    found = []
    for _ in range(3000):
        rows, of_draw, of_init = rng.normal(size=200), rng.normal(size=3), rng.normal(size=3)
        values = 0.2 * of_draw[draws] + 0.1 * of_init[inits] + rows.mean()
        split = variance_split(values, np.tile((rows - rows.mean()) / 200, (9, 1)), draws, inits)
        assert split is not None
        found.append([split.draw, split.initialisation, split.test])
    assert np.mean(found, axis=0) == pytest.approx([0.04, 0.01, 1 / 200], rel=0.1)


def test_without_crossing_there_is_no_split():
    diagonal = np.arange(3)
    assert variance_split(np.ones(3), np.zeros((3, 5)), diagonal, diagonal) is None
    crossed = np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0])
    assert variance_split(np.array([1, 1, np.nan, 1]), np.zeros((4, 5)), *crossed) is None
