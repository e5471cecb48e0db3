"""Gradient boosting, whichever library makes it."""

import numpy as np
import pytest
import yaml

from stages.common.errors import InputError
from stages.common.features import Features, tables
from stages.train.budget import Pool, Replicate, tune_and_fit
from stages.train.jobs import Job
from stages.train.learners import make_learner
from stages.train.learners.boosters import LightGBM, Rounds, Sklearn
from stages.train.learners.scikit import log_loss
from tests.conftest import ROOT
from tests.learners import BOOSTING, BUDGET, draw_of, parse


@pytest.mark.parametrize("library", ["lightgbm", "sklearn", "xgboost", "catboost"])
def test_each_booster_takes_missing_values_and_categories_as_they_are(library):
    pytest.importorskip(library)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(3000, 1)).astype(np.float32)
    numbers[rng.random(3000) < 0.3] = np.nan
    codes = rng.integers(12, size=(3000, 1)).astype(np.int32)
    labels = (np.isnan(numbers[:, 0]) ^ np.isin(codes[:, 0], [1, 4, 6, 9])).astype(np.int64)
    features = tables(numbers, codes)
    config = {"kind": "gradient_boosting", "library": library, "max_rounds": 60, "patience": 10, "arguments": {},
              "settings": [{"learning_rate": 0.3}]}  # fmt: skip
    learner = make_learner(parse(config), 2, threads=1).learner
    (record,) = learner.fit([Job(draw_of(features, labels, slice(0, 2000)), parse(config).settings[0], 0)])
    assert 1 <= record.epochs <= 60
    assert log_loss(labels[2000:], learner.predict_proba(features[2000:], [0])[0]) < 0.1


def test_boosting_gives_the_same_bytes_side_by_side_as_one_by_one(blobs):
    features, labels = blobs
    kind = parse(BOOSTING)

    def predicted(threads: int) -> bytes:
        learner = make_learner(kind, 2, threads).learner
        learner.fit([Job(draw_of(features, labels, slice(0, 300)), setting, seed=7) for setting in kind.settings * 2])
        learner.refit([3, 0, 2])
        return learner.predict_proba(features[300:], [0, 1, 2]).tobytes()

    assert predicted(threads=3) == predicted(threads=1)


def test_boosting_says_where_it_was_cut_off_and_what_a_library_does_not_take(blobs):
    features, labels = blobs
    draw = draw_of(features, labels, slice(0, 300))
    cut = parse(BOOSTING | {"max_rounds": 3})
    learner = make_learner(cut, 2, threads=1).learner
    (record,) = learner.fit([Job(draw, cut.settings[0], 0)])
    assert (record.status, record.reason) == ("unconverged", "the validation loss still fell at max_rounds=3")
    wrong = parse(BOOSTING | {"settings": [{"num_leaves": -5}]})
    learner = make_learner(wrong, 2, threads=1).learner
    with pytest.raises(InputError, match=r"^lightgbm: .*num_leaves.*; see to the learner's `arguments` and `settings`"):
        learner.fit([Job(draw, wrong.settings[0], 0)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_leafs": 3}, r"^lightgbm: num_leafs is no parameter; did you mean 'num_lea.*'\?; see to the"),
        ({"n_estimators": 120}, r"^lightgbm: n_estimators is not to be set here; rounds are set by max_rounds and pat"),
        ({"metric": "auc"}, r"^lightgbm: metric is not to be set here"),
    ],
)
def test_what_would_change_a_boosters_rounds_or_loss_unseen_is_refused(arguments, message, blobs):
    features, labels = blobs
    kind = parse(BOOSTING | {"arguments": arguments})
    learner = make_learner(kind, 2, threads=1).learner
    with pytest.raises(InputError, match=message):
        learner.fit([Job(draw_of(features, labels, slice(0, 300)), kind.settings[0], 0)])


def survey(n: int, seed: int) -> tuple[Features, np.ndarray]:
    """Four answers of five levels, two of which decide together."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(5, size=(n, 4)).astype(np.int32)
    y = ((codes[:, 0] + codes[:, 1]) % 5 < 2).astype(np.int64)
    return tables(categorical=codes), y


def test_boosting_sees_two_columns_of_few_that_decide_together():
    content = yaml.safe_load((ROOT / "conf/learners/gradient_boosting.yaml").read_text())["gradient_boosting"]
    config = parse(content)
    (features, y), (test, truth) = survey(800, 0), survey(2000, 1)
    learner = make_learner(config, 2, 1).learner
    pool = Pool(features, y, None)
    _, _, p = tune_and_fit(learner, [Replicate(0, 0, np.arange(800), 0)], pool, config.settings[:2], BUDGET, test)
    assert (p[0].argmax(axis=1) == truth).mean() > 0.9


@pytest.mark.parametrize("n_classes", [2, 3])
def test_lightgbm_predicts_some_rounds_at_a_time_what_it_predicts_at_once(n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(n_classes, size=300)
    library = LightGBM(threads=1)
    model, _ = library.fit(X, y, None, np.zeros(4, bool), Rounds(13, 10), {}, 0, n_classes)  # 5, 5 and 3 rounds
    np.testing.assert_allclose(library.predict(model, X), model.predict(X), atol=1e-12)


def test_a_forest_of_lightgbm_predicts_what_it_predicts_itself():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(2, size=300)
    library = LightGBM(threads=1)
    forest = {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}
    model, _ = library.fit(X, y, None, np.zeros(4, bool), Rounds(13, 10), forest, 0, 2)
    np.testing.assert_array_equal(library.predict(model, X), model.predict(X))


def test_sklearns_booster_is_judged_and_made_again_at_its_best_round(blobs):
    features, labels = blobs
    X, y = features.blocks["numeric"], labels
    library = Sklearn(threads=1)
    (fitted, n_best), n_rounds = library.fit(
        X[:300], y[:300], (X[300:400], y[300:400]), np.zeros(2, bool), Rounds(200, 10), {}, 0, 2
    )
    losses = [log_loss(y[300:400], p.astype(np.float32)) for p in fitted.staged_predict_proba(X[300:400])]
    assert n_best == n_rounds == 1 + int(np.argmin(losses)) == fitted.n_iter_ - 10
    held_out = library.predict((fitted, n_best), X[300:400]).astype(np.float32)
    assert log_loss(y[300:400], held_out) == pytest.approx(min(losses))
