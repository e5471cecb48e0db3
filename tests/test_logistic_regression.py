"""Logistic regression: its solvers, and what engineered inputs let it see."""

import numpy as np
import pytest

from stages.common.features import tables
from stages.train import params
from stages.train.jobs import Job
from stages.train.learners import make_learner
from stages.train.learners.logistic_regression import LogisticRegressionLearner
from stages.train.learners.scikit import log_loss
from tests.learners import ENGINEERED, LOGISTIC, draw_of, parse, words_of


@pytest.mark.parametrize(("max_iter", "status"), [(1, "unconverged"), (100, "ok")])
def test_a_solver_that_stops_early_is_marked(blobs, max_iter, status):
    features, labels = blobs
    kind = parse(LOGISTIC | {"max_iter": max_iter, "solver": "lbfgs"})
    learner = make_learner(kind, 2, threads=1).learner
    (record,) = learner.fit([Job(draw_of(features, labels, slice(0, 300)), kind.settings[0], seed=0)])
    assert record.status == status
    assert bool(record.reason) == (status != "ok")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_too_many_to_be_spelt_out_give_the_same_coefficients(n_classes, monkeypatch):
    rng = np.random.default_rng(0)
    numbers, codes = rng.normal(size=(900, 4)).astype(np.float32), rng.integers(12, size=(900, 3)).astype(np.int32)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    labels = (
        (np.nan_to_num(numbers[:, 0]) + codes[:, 0] / 6 + rng.normal(size=900)).argsort().argsort() * n_classes // 900
    )
    kind, features = parse(LOGISTIC | {"solver": "auto"}), tables(numbers, codes)
    coefficients, n_epochs = [], []
    for most in (2**27, 0):
        monkeypatch.setattr("stages.train.learners.logistic_regression.MOST_SPELT_OUT", most)
        learner = make_learner(kind, n_classes, threads=1).learner
        assert isinstance(learner, LogisticRegressionLearner)
        (record,) = learner.fit([Job(draw_of(features, labels, slice(0, 700)), kind.settings[0], seed=0)])
        assert record.status == "ok"
        coefficients.append(learner._fits[0].model.coef_)
        n_epochs.append(record.epochs)
    assert n_epochs[0] == n_epochs[1]
    np.testing.assert_allclose(coefficients[0], coefficients[1], atol=1e-6)


@pytest.mark.parametrize("features", ["raw", "engineered"])
def test_the_solver_of_words_finds_what_lbfgs_finds(features):
    words, labels = words_of(600)
    draw = draw_of(words, labels, slice(0, 300))
    found = {}
    for solver in ("auto", "lbfgs"):
        kind = parse(LOGISTIC | {"features": features, "solver": solver, "max_iter": 2000})
        learner = make_learner(kind, 2, threads=1).learner
        (record,) = learner.fit([Job(draw, params.LogisticRegressionSetting(C=0.1), seed=1)])
        assert record.status == "ok"
        probabilities = learner.predict_proba(words[300:], [0])[0]
        found[solver] = (log_loss(labels[300:], probabilities), record.epochs)
        assert (probabilities.argmax(axis=1) == labels[300:]).mean() > 0.8
    assert found["auto"][1] != found["lbfgs"][1]
    assert found["auto"][0] == pytest.approx(found["lbfgs"][0], abs=0.02)


def test_crossings_let_a_linear_learner_see_what_only_pairs_tell():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=(3000, 2)).astype(np.int32)
    labels = (codes[:, 0] == codes[:, 1]).astype(np.int64)  # neither column alone tells anything
    features = tables(categorical=codes)
    losses = {}
    for how, config in {"raw": LOGISTIC, "engineered": ENGINEERED}.items():
        learner = make_learner(parse(config), 2, threads=1).learner
        learner.fit([Job(draw_of(features, labels, slice(0, 2000)), parse(config).settings[0], 0)])
        losses[how] = log_loss(labels[2000:], learner.predict_proba(features[2000:], [0])[0])
    assert losses["raw"] > 0.6
    assert losses["engineered"] < 0.15


def test_splines_let_a_linear_learner_bend():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(3000, 1)).astype(np.float32)
    labels = (np.abs(numbers[:, 0]) > 0.7).astype(np.int64)
    features = tables(numbers)
    learner = make_learner(parse(ENGINEERED | {"settings": [{"C": 10.0}]}), 2, threads=1).learner
    learner.fit([Job(draw_of(features, labels, slice(0, 2000)), params.LogisticRegressionSetting(C=10.0), 0)])
    assert log_loss(labels[2000:], learner.predict_proba(features[2000:], [0])[0]) < 0.2
