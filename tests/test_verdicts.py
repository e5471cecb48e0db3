"""A small run of benchmarks.verdicts: bands cover and verdicts err seldom in worlds that are not clean."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import verdicts
from stages.evaluate.metrics import roc_auc

N_STUDIES = 100
SEEN = ["one replicate in ten missing", "half shared"]
FALSE_ALARMS = 1e-3  # of one test, where the true rate is the limit


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEN)
def test_at_its_boundary_a_verdict_errs_seldom(name):
    most = binom.ppf(1 - FALSE_ALARMS, N_STUDIES, verdicts.MOST_ERRORS)
    for i, case in enumerate(verdicts.at_boundaries(name)[:8]):
        for key, n in verdicts.counted(case, N_STUDIES, (5, i)).items():
            assert n <= most, key


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEEN, "half shared, draws alone"])
def test_bands_and_differences_hold_the_truth_and_are_not_too_wide(name):
    truths = verdicts.true_variances(name, 200)
    for key, bands in verdicts.covered(name, truths, 300, (6,)).items():
        held, is_marked, width, known_width, _ = (np.array(of) for of in zip(*bands, strict=True))
        assert is_marked.mean() <= verdicts.MOST_MARKED
        unmarked = held[~is_marked]
        assert unmarked.sum() >= binom.ppf(FALSE_ALARMS, len(unmarked), verdicts.LEAST_HELD), key
        assert np.median(width) < 1.5 * np.median(known_width), key


@pytest.mark.slow
def test_another_cell_that_leads_is_seen_where_others_are_far_below():
    case = next(case for case in verdicts.of_power() if case.counted[0][2] == "refuted")
    assert verdicts.counted(case, 80, (7,))[case.counted[0]] > 0.2 * 80


def test_what_goes_beyond_its_limit_is_named():
    at_boundary = {"statement": "million", "verdict": "supported", "case": "", "n": 2000}
    band = {"band": "last cell", "n": 2000}
    rows = [
        at_boundary | {"world": "a", "count": 160, "rate": 0.08},
        at_boundary | {"world": "b", "count": 125, "rate": 0.0625},
        band | {"world": "a", "held": 1800, "marked": 0.0, "times_as_wide": 1.0},
        band | {"world": "clean", "held": 1900, "marked": 0.06, "times_as_wide": 1.5},
    ]
    found = verdicts.significant(rows)
    assert sorted(what.split(":")[0] for what in found) == [
        "last cell, a", "last cell, clean", "last cell, clean", "million supported, at its boundary, a"
    ]  # fmt: skip


@pytest.mark.parametrize("n_classes", [2, 10])
def test_the_quick_area_under_the_curve_is_that_of_the_metric(n_classes):
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(n_classes, size=400), rng.normal(size=(3, 400, n_classes))
    for found, expected in zip(verdicts.roc_auc_untied(labels, scores), roc_auc(labels, scores), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
