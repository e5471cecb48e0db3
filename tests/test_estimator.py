"""Any classifier with scikit-learn's interface."""

import numpy as np
import pytest

from stages.common.errors import InputError
from stages.common.features import tables
from stages.common.params import validated
from stages.train import params
from stages.train.jobs import Draw, Job
from stages.train.learners import make_learner
from stages.train.learners.scikit import log_loss
from tests.learners import FOREST, NEIGHBOURS, SVM, draw_of, parse


def test_an_estimator_outside_the_allowed_packages_is_refused_and_never_imported():
    content = FOREST | {"estimator": "os.system"}
    with pytest.raises(
        InputError, match=r"estimator='os.system': only classes of sklearn, lightgbm, xgboost, catboost"
    ):
        validated(params.Learner, content, "learners.mine")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sklearn.ensemble.RandomForst", r"sklearn\.ensemble has no RandomForst"),
        ("sklearn.preprocessing.StandardScaler", r"is no classifier: it needs fit, and predict_proba or decision_func"),
        ("sklearn.metrics.accuracy_score", r"is no classifier"),
        ("catboost.CatBoostClassifier", r"catboost is not installed; run `pip install catboost`"),
        ("xgboost.XGBClassifier", r"xgboost is not installed; run `pip install xgboost-cpu`"),
        ("sklearn.ensmble.RandomForestClassifier", r"^sklearn has no module sklearn.ensmble; see to the learner's"),
    ],
)
def test_an_estimator_that_is_no_classifier_or_not_there_is_named(path, message):
    with pytest.raises(InputError, match=message):
        make_learner(parse(FOREST | {"estimator": path}), 2, threads=1)


@pytest.mark.parametrize("changes", [{"arguments": {"n_trees": 50}}, {"settings": [{"min_samples_leaf": -1}]}])
def test_what_an_estimator_does_not_take_is_said_in_one_line(changes, blobs):
    features, labels = blobs
    kind = parse(FOREST | changes)
    learner = make_learner(kind, 2, threads=1).learner
    message = r"^sklearn\.ensemble\.RandomForestClassifier: .*(n_trees|min_samples_leaf).*; see to the learner's `arg"
    with pytest.raises(InputError, match=message):
        learner.fit([Job(draw_of(features, labels, slice(0, 300)), kind.settings[0], 0)])


@pytest.mark.parametrize("setting", [{"n_neighbors": 127}, {"n_neighbors": 31}])
def test_more_neighbours_than_labels_are_all_of_them(setting, blobs):
    features, labels = blobs
    kind = parse(NEIGHBOURS | {"settings": [setting]})
    learner = make_learner(kind, 2, threads=1).learner
    draw = draw_of(features, labels, slice(0, 32))
    learner.fit([Job(draw, kind.settings[0], seed=0)])
    shares = np.bincount(draw.fit_labels) / len(draw.fit_labels)
    np.testing.assert_allclose(learner.predict_proba(features, [0])[0], np.tile(shares, (600, 1)), atol=1e-6)


def test_a_classifier_without_probabilities_gets_calibrated_ones():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=6000)
    numbers = (rng.normal(size=(6000, 2)) + labels[:, None]).astype(np.float32)
    features = tables(numbers)
    learner = make_learner(parse(SVM), 2, threads=1).learner
    learner.fit([Job(draw_of(features, labels, slice(0, 3000)), parse(SVM).settings[0], 0)])
    probabilities = learner.predict_proba(features[3000:], [0])[0]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    second = 1 / (1 + np.exp(1 - numbers[3000:].sum(axis=1)))  # the rows' probabilities as they were drawn
    truth = np.stack([1 - second, second], axis=1)
    assert log_loss(labels[3000:], probabilities) < log_loss(labels[3000:], truth) + 0.03


@pytest.mark.parametrize("held_labels", [[3], [1], [0, 1] * 15], ids=["unknown", "one of one class", "one missing"])
def test_calibration_needs_no_held_out_row_of_every_class(held_labels):
    rng = np.random.default_rng(0)
    labels, n_held = np.arange(900) % 3, len(held_labels)
    labels[300 : 300 + n_held] = held_labels
    numbers = (rng.normal(size=(900, 2)) + 3 * labels[:, None]).astype(np.float32)
    features = tables(numbers)
    held = slice(300, 300 + n_held)
    learner = make_learner(parse(SVM), 4, threads=1).learner
    draw = Draw(features[:300], labels[:300], features[held], labels[held])
    learner.fit([Job(draw, parse(SVM).settings[0], 0)])
    probabilities = learner.predict_proba(features[400:], [0])[0]
    assert log_loss(labels[400:], probabilities) < 0.8
    assert (probabilities.argmax(axis=1) == labels[400:]).mean() > 0.9


def test_calibration_learns_how_rare_a_class_is():
    rng = np.random.default_rng(0)
    labels = (rng.random(6000) < 0.1).astype(np.int64)
    numbers = rng.normal(size=(6000, 2)).astype(np.float32)  # tell nothing
    features = tables(numbers)
    learner = make_learner(parse(SVM), 2, threads=1).learner
    learner.fit([Job(draw_of(features, labels, slice(0, 3000)), parse(SVM).settings[0], 0)])
    assert log_loss(labels[3000:], learner.predict_proba(features[3000:], [0])[0]) < 0.35 < np.log(2)
