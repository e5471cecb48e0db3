"""The joint law against planted laws and scipy, and the advice for studies whose answer is known."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls

from stages.evaluate.advice import Advised, Option, advise, decide
from stages.evaluate.forecast import measured_curves
from stages.evaluate.joint_law import fit_joint_law, non_negative_least_squares
from stages.evaluate.params import AdviceRules
from stages.evaluate.sums import CellName
from tests.simulations import simulated_study

SIZES = [1024 * 2**i for i in range(7)]
NETWORKS = {"small": 500.0, "medium": 8000.0, "large": 128_000.0}
RULES = AdviceRules(min_gain=0.003, certainty=0.8, target=None, cost_per_label=None, cost_per_hour=None)


def test_least_squares_agree_with_those_of_scipy():
    rng = np.random.default_rng(0)
    for _ in range(20):
        design, targets = rng.normal(size=(8, 3)), rng.normal(size=(8, 5))
        found = non_negative_least_squares(np.stack([design, 2 * design]), targets)
        coefficients, squares = found[0][0], found[1][0]
        np.testing.assert_allclose(found[0][1], coefficients / 2, atol=1e-9)
        for i in range(5):
            expected, norm = nnls(design, targets[:, i])
            np.testing.assert_allclose(coefficients[:, i], expected, atol=1e-9)
            assert squares[i] == pytest.approx(norm**2)


def test_the_joint_law_finds_the_planted_one_and_extrapolates_it():
    n, d = (axis.ravel() for axis in np.meshgrid(list(NETWORKS.values()), SIZES, indexing="ij"))

    def planted(n: Any, d: Any) -> Any:
        return 0.1 + 1.5 * n**-0.4 + 6 * d**-0.5

    law = fit_joint_law(n, d.astype(float), planted(n, d)[None])
    assert law is not None
    assert law.floor[0] == pytest.approx(0.1, abs=0.01)
    assert law.alpha[0] == pytest.approx(0.4, rel=0.2)
    assert law.beta[0] == pytest.approx(0.5, rel=0.2)
    assert law.misfit < 0.01
    assert law.loss(256_000, 131_072)[0] == pytest.approx(planted(256_000, 131_072), rel=0.02)


def test_too_few_cells_or_networks_of_one_size_have_no_joint_law():
    labels = np.array(SIZES, dtype=float)
    assert fit_joint_law(np.full(7, 500.0), labels, np.full((1, 7), 0.3)) is None
    assert fit_joint_law(np.array([1.0, 2, 3]), labels[:3], np.full((1, 3), 0.3)) is None


def advised(
    curves: dict[str, list[float]], rules: AdviceRules = RULES, n_pool: int = 10**6, spread: float = 0.001,
    n_test: int = 20_000,
) -> Advised:  # fmt: skip
    cells: dict[CellName, float] = {
        (name, n): value for name, values in curves.items() for n, value in zip(SIZES, values, strict=True)
    }
    study = simulated_study(cells, np.random.default_rng(0), {"n_resamples": 1000}, n_test=n_test, spread=spread)
    parameters = {cell: NETWORKS.get(cell[0], 100.0) for cell in cells}
    networks = [name for name in NETWORKS if name in curves]
    return advise(study, measured_curves(study), networks, "logistic", parameters, n_pool, rules)


def of_law(floor: float, a: float, alpha: float, b: float, beta: float) -> dict[str, list[float]]:
    return {name: [1 - (floor + a * n**-alpha + b * d**-beta) for d in SIZES] for name, n in NETWORKS.items()}


FLAT = {"logistic": [0.7] * 7}


def test_where_data_pays_the_advice_is_more_data():
    found = advised(FLAT | of_law(0.05, 0.0, 0.4, 4.0, 0.3)).report
    assert found.answer == "more data"
    data = found.options[0]
    expected = 4 * (SIZES[-1] ** -0.3 - (2 * SIZES[-1]) ** -0.3)
    assert data.gain.low80 < expected < data.gain.high80
    assert (data.labels, data.pays) == (SIZES[-1], True)
    assert found.simple_is_enough is not None
    assert found.simple_is_enough.probability < 0.01


def test_where_size_pays_the_advice_is_a_bigger_network():
    found = advised(FLAT | of_law(0.05, 1.5, 0.15, 0.1, 0.5)).report
    assert found.answer == "bigger network"
    size = next(option for option in found.options if option.option == "bigger network")
    expected = 1.5 * (128_000**-0.15 - 256_000**-0.15)
    assert size.own_gain.low80 < expected < size.own_gain.high80
    assert found.best_value is not None
    lead = found.best_value - 0.6922  # the flat learner is above the largest network today
    assert size.own_gain.median - size.gain.median == pytest.approx(lead, abs=0.003)
    assert (size.labels, size.pays) == (0, True)


def test_where_nothing_pays_the_advice_is_to_stop_and_the_simple_learner_is_enough():
    found = advised(
        {"logistic": [0.7] * 7} | {name: [0.7] * 7 for name in NETWORKS}, spread=0.0002, n_test=60_000
    ).report
    assert found.answer == "stop"
    assert found.simple_is_enough is not None
    assert found.simple_is_enough.probability > 0.8
    assert not any(option.pays for option in found.options)


def test_where_it_cannot_be_told_the_cells_that_would_tell_are_named():
    curves = {"logistic": [0.70, 0.715, 0.725, 0.733, 0.739, 0.744, 0.747]}
    found = advised(curves)
    assert found.report.answer == "cannot tell yet"
    assert [(cell.learner, cell.n_train) for cell in found.telling] == [("logistic", 2 * SIZES[-1])]
    assert advised(curves, n_pool=SIZES[-1]).telling == []


def test_of_two_that_pay_the_larger_gain_is_advised():
    gains = {"more data": np.full(9, 0.02), "bigger network": np.full(9, 0.01)}
    data = Option("more data", "a", "", gains["more data"], gains["more data"], 1000)
    size = Option("bigger network", "a", "", gains["bigger network"], gains["bigger network"], 0)
    assert decide([data, size], RULES, 2)[0] == "more data"
    assert decide([], RULES, 2)[0] == "cannot tell yet"
    flat = Option("more data", "a", "", np.zeros(9), np.zeros(9), 1000)
    assert decide([flat], RULES, 1)[0] == "stop"
    assert decide([flat], RULES, 2)[0] == "cannot tell yet"


def test_the_target_is_the_best_value_measured_unless_given():
    curves = {"logistic": [0.70, 0.72, 0.735, 0.747, 0.756, 0.763, 0.769], "small": [0.70 + 0.02 * i for i in range(7)]}
    found = advised(curves).report.labels_until
    assert found is not None
    assert found.target == pytest.approx(0.82, abs=0.01)
    assert {item.learner: item.is_measured for item in found.learners} == {"logistic": False, "small": True}
    given = advised(curves, RULES.model_copy(update={"target": 0.75})).report.labels_until
    assert given is not None
    assert given.target == 0.75
