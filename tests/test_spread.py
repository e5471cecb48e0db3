"""Variances over fresh draws: moderated, of draws that share rows, and with failures among the fits."""

import numpy as np
import pytest

from stages.evaluate.crossing import Crossed
from stages.evaluate.spread import Spread

SIZES = (64, 128, 256, 512, 1024)
LEARNERS = ("a", "b", "c", "d")


def drawn(
    rng: np.random.Generator, n_replicates: int = 3, of_draw: float = 1.0, of_init: float = 0.0, pool: float = np.inf
):
    """Values of every cell, and of the first size crossed: effects of rows that are the pool's or a draw's own, and of
    initialisations."""
    values, crossed = {}, {}
    for learner in LEARNERS:
        common = rng.normal()
        for n in SIZES:
            shared = n / pool
            draws = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(size=n_replicates)
            inits = rng.normal(size=n_replicates)
            scale = np.sqrt(SIZES[0] / n)
            values[learner, n] = scale * (of_draw * draws + of_init * inits)
            if n == SIZES[0]:
                square = of_draw * draws[:3, None] + of_init * inits[None, :3]
                crossed[learner] = Crossed(n, square, np.zeros((3, 3, 0)))
    return values, crossed


def test_alike_variances_are_moderated_and_a_single_cell_is_its_own():
    rng = np.random.default_rng(0)
    values, _ = drawn(rng, 3)
    spread = Spread(values, np.inf)
    assert spread.slope == pytest.approx(-1, abs=0.5)
    found = spread.of({("a", 256): 1.0})
    assert found is not None
    assert found.degrees_of_freedom > 5
    alone = Spread({("a", 256): values["a", 256]}, np.inf).of({("a", 256): 1.0})
    assert alone is not None
    assert (alone.total, alone.degrees_of_freedom) == (pytest.approx(values["a", 256].var(ddof=1)), 2)
    assert alone.of_mean(3) == pytest.approx(values["a", 256].var(ddof=1) / 3)


def test_variances_that_scatter_more_than_they_should_are_left_alone():
    rng = np.random.default_rng(0)
    values = {(name, n): rng.normal(size=4) * np.exp(rng.normal() * 3) for name in LEARNERS for n in SIZES}
    spread = Spread(values, np.inf)
    found = spread.of({("b", 256): 1.0})
    assert found is not None
    assert found.degrees_of_freedom < 4.5
    assert spread.prior_freedom < 1.5


@pytest.mark.parametrize("share", [0.125, 0.5, 1.0])
@pytest.mark.parametrize(("of_draw", "of_init"), [(1.0, 0.0), (1.0, 1.0), (0.1, 1.0)])
def test_shared_rows_do_not_narrow_the_variance_of_a_mean(share, of_draw, of_init):
    rng = np.random.default_rng(1)
    pool = SIZES[-1] / share
    truth, found = [], []
    for _ in range(400):
        values, crossed = drawn(rng, 5, of_draw, of_init, pool)
        variance = Spread(values, pool, crossed).of({("a", SIZES[-1]): 1.0})
        assert variance is not None
        found.append(variance.of_mean(5))
        truth.append(values["a", SIZES[-1]].mean())
    ratio = np.mean(found) / np.var(truth)
    assert 0.9 < ratio < 2.2


def test_without_crossed_fits_all_of_the_spread_counts_as_that_of_draws():
    values, crossed = drawn(np.random.default_rng(2), 5, 0.01, 1.0, pool=2 * SIZES[-1])
    known, unknown = (Spread(values, 2 * SIZES[-1], c).of({("a", SIZES[-1]): 1.0}) for c in (crossed, None))
    assert known is not None
    assert unknown is not None
    assert (known.draw < 0.3, unknown.draw) == (True, 1.0)
    assert unknown.of_mean(5) > 2 * known.of_mean(5)


def test_a_rare_failure_is_found_and_widens_the_learners_other_cells():
    rng = np.random.default_rng(3)
    values, _ = drawn(rng, 10)
    before = Spread(values, np.inf)
    assert before.failing == {}
    values["a", 128] = values["a", 128].copy()
    values["a", 128][4] -= 30
    after = Spread(values, np.inf)
    assert after.failing == {"a": (1, 50)}
    wide, narrow = (spread.of({("a", 512): 1.0}) for spread in (after, before))
    assert wide is not None
    assert narrow is not None
    assert wide.total > 5 * narrow.total


def test_a_sum_without_two_common_replicates_has_no_variance():
    values = {("a", 64): np.array([1.0, np.nan, np.nan]), ("b", 64): np.array([np.nan, 1.0, 2.0])}
    assert Spread(values, np.inf).of({("a", 64): 1.0, ("b", 64): -1.0}) is None
    assert Spread(values, np.inf).of({("b", 64): 1.0, ("c", 64): -1.0}) is None


def test_what_fits_do_to_single_test_rows_is_no_part_of_what_draws_share():
    rng = np.random.default_rng(4)
    n_groups, cell = 400, ("a", 512)
    shares = {(name, n): rng.normal(size=(10, n_groups)) / n_groups for name in LEARNERS for n in SIZES}
    values = {key: of.sum(axis=1) for key, of in shares.items()}  # equally good fits, on other test rows each
    with_rows, without = (Spread(values, 1024, None, s).of({cell: 1.0}) for s in (shares, None))
    assert with_rows is not None
    assert without is not None
    assert with_rows.interaction == pytest.approx(1 / n_groups, rel=0.3)
    assert with_rows.of_mean(10) < 0.7 * without.of_mean(10)
    # A replicate that is missing is missing in both.
    values[cell] = np.append(values[cell][:9], np.nan)
    fewer = Spread(values, 1024, None, shares).of({cell: 1.0})
    assert fewer is not None
    residuals = shares[cell][:9] - shares[cell][:9].mean(axis=0)
    assert fewer.interaction == pytest.approx(min(fewer.total, (residuals**2).sum() / 8))


@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_rows_that_do_the_same_at_every_size_are_seen_and_leave_a_step(alike):
    rng = np.random.default_rng(5)
    pool, n_rep = 2048, 6
    orders = rng.permuted(np.tile(np.arange(pool), (n_rep, 1)), axis=1)
    values = {}
    for name in (*LEARNERS, "e", "f"):
        common = rng.normal(size=pool)
        for n in SIZES:
            of_rows = np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.normal(size=pool)
            values[name, n] = of_rows[orders[:, :n]].mean(axis=1)
    spread = Spread(values, pool)
    step = spread.of({("a", 1024): 1.0, ("a", 512): -1.0})
    assert step is not None
    assert (spread.alike > 0.6) == bool(alike)
    assert (step.shared < 0.25) == bool(alike)


def test_without_a_size_below_half_the_pool_the_variance_is_not_known():
    rng = np.random.default_rng(6)
    values = {("a", n): rng.normal(size=5) for n in (600, 1000)}
    found = Spread(values, 1000).of({("a", 1000): 1.0})
    assert found is not None
    assert np.isnan(found.total)
    below = Spread(values | {("a", 300): rng.normal(size=5)}, 1000).of({("a", 1000): 1.0})
    assert below is not None
    assert below.total > 0


def test_a_tie_of_all_replicates_tells_the_others_nothing():
    rng = np.random.default_rng(7)
    values, _ = drawn(rng, 3)
    values = {cell: 0.8 + 0.01 * of for cell, of in values.items()}
    before = Spread(values, np.inf).of({("a", 256): 1.0})
    after = Spread(values | {("a", 512): np.full(3, 0.8)}, np.inf).of({("a", 256): 1.0})
    assert before is not None
    assert after is not None
    assert after.total == pytest.approx(before.total, rel=0.5)


def test_above_half_the_pool_degrees_of_freedom_are_those_of_the_line():
    rng = np.random.default_rng(8)
    values = {(name, n): rng.normal(size=10) * np.exp(rng.normal() * 3) for name in LEARNERS for n in SIZES}
    found = Spread(values, SIZES[-1]).of({("a", SIZES[-1]): 1.0})
    assert found is not None
    assert found.degrees_of_freedom < 3
