"""What follows from seconds: prices, the choice among options that pay, and the cell to run next."""

import numpy as np
import pytest

from stages.contract.advice import Advice
from stages.contract.cell import Host, Timing
from stages.contract.costs import CellCost, Costs, TuningCost
from stages.evaluate.advice import Advised, Option, Telling
from stages.evaluate.costs import costs_of, seconds_at_twice
from stages.evaluate.params import AdviceRules
from tests import records

RULES = AdviceRules(min_gain=0.003, certainty=0.8, target=None, cost_per_label=None, cost_per_hour=None)
HOST = Host.model_validate(records.HOST)
NOTHING = Advice(answer="stop", reason="", options=[], n_train=1, n_pool=1)
TIMINGS = {
    (name, n): Timing(fit_seconds=10 * n / 1024, host=HOST) for name in ("logistic", "large") for n in (1024, 2048)
}
DATA = Option("more data", "logistic", "", np.full(9, 0.02), np.full(9, 0.02), 2048)
SIZE = Option("bigger network", "large", "", np.full(9, 0.01), np.full(9, 0.01), 0)


def costs(advised: Advised, **prices: float) -> Costs:
    tuning = {"large": Timing(fit_seconds=3.0, host=HOST)}
    return costs_of(advised, (), TIMINGS, tuning, RULES.model_copy(update=prices))


def test_seconds_grow_as_they_did_in_the_last_step_within_limits():
    assert seconds_at_twice({("a", 100): 1.0, ("a", 200): 3.0}, "a") == pytest.approx(9)
    assert seconds_at_twice({("a", 100): 1.0, ("a", 200): 9.0}, "a") == pytest.approx(36)
    assert seconds_at_twice({("a", 100): 1.0, ("a", 400): 4.0}, "a") == pytest.approx(8)
    assert seconds_at_twice({("a", 100): 2.0, ("a", 200): 1.0}, "a") == pytest.approx(1)
    assert seconds_at_twice({("a", 100): 2.0}, "a") == pytest.approx(4)


def test_without_prices_there_is_no_money_and_no_choice():
    found = costs(Advised(NOTHING, [DATA, SIZE], []))
    assert [(o.labels, o.seconds, o.money) for o in found.options] == [(2048, 40, None), (0, 40, None)]
    assert found.choice is None
    assert found.cells[0] == CellCost(learner="logistic", n_train=1024, fit_seconds=10, **records.HOST)
    assert found.tuning == [TuningCost(learner="large", fit_seconds=3.0)]


def test_of_two_that_pay_the_cheaper_gain_is_chosen():
    found = costs(Advised(NOTHING, [DATA, SIZE], []), cost_per_label=0.01, cost_per_hour=3.6)
    assert found.options[0].money == pytest.approx(2048 * 0.01 + 40 * 0.001)
    assert found.choice == "bigger network"
    assert costs(Advised(NOTHING, [DATA], []), cost_per_label=0.01, cost_per_hour=3.6).choice == "more data"
    none_pays = Option("more data", "logistic", "", np.zeros(9), np.zeros(9), 2048)
    assert costs(Advised(NOTHING, [none_pays], []), cost_per_label=0.01, cost_per_hour=3.6).choice is None


def test_the_cell_that_tells_most_per_second_is_next():
    telling = [
        Telling("large", 1024, "bigger network", 2e-6),
        Telling("large", 2048, "bigger network", 3e-6),
        Telling("logistic", 4096, "more data", 3e-6),
    ]
    found = costs(Advised(NOTHING, [], telling)).next_cell
    assert found is not None
    assert (found.learner, found.n_train, found.seconds) == ("large with twice the parameters", 1024, 20)
    assert costs(Advised(NOTHING, [], [])).next_cell is None
