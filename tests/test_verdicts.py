"""A small run of benchmarks.verdicts: bands cover and verdicts err seldom in worlds that are not clean."""

import numpy as np
import pytest

from benchmarks import verdicts

N_STUDIES = 150
SEEN = ["one replicate in ten missing", "half shared, 10 replicates", "all shared"]
CASES = [
    case for case in verdicts.cases()
    if any(case.world is verdicts.WORLDS[name] for name in SEEN)
    and (case.statement, case.verdict) in (("small_data", "supported"), ("both_scales", "refuted"))
    and not case.name.startswith("4")
]  # fmt: skip


@pytest.mark.simulation
@pytest.mark.parametrize("case", CASES, ids=[f"{case.statement}, {case.name}" for case in CASES])
def test_at_its_boundary_a_verdict_errs_seldom(case):
    # Of 150 studies of which .06 err, 17 do with probability .01.
    assert verdicts.rate_of(case, N_STUDIES, seed=5) < 17


@pytest.mark.simulation
@pytest.mark.parametrize("name", SEEN)
def test_bands_and_differences_hold_the_truth(name):
    for key, (n_held, n, _) in verdicts.coverage_of(name, 300, seed=6).items():
        assert n_held >= 0.93 * n - 3 * np.sqrt(n * 0.93 * 0.07), key
