"""Every learner behind the one interface, and the label budget that they share."""

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder, RobustScaler

from stages.common import artefacts, provenance
from stages.common.artefacts import Features
from stages.common.errors import InputError
from stages.common.params import validated
from stages.train import __main__ as train
from stages.train import params
from stages.train.__main__ import make_learner
from stages.train.blocks import NetworkEncoder
from stages.train.boosting import LightGBM, Rounds, Sklearn
from stages.train.budget import Choice, Pool, Replicate, compete, fit_chosen, held_out, latest, tune_and_fit
from stages.train.encoders import Encoder, SparseEncoder, n_ordered
from stages.train.engineered import NGRAM_SCALE, EngineeredEncoder, HogEncoder, NgramEncoder
from stages.train.fits import Draw, Job, Record, TooFewRows, in_all, log_loss
from stages.train.logistic_regression import LogisticRegressionLearner
from tests.conftest import ROOT

BUDGET = params.Train(seed=0, threads=1, validation_share=0.2, validation_rows=8192, timeout_seconds=60)

LOGISTIC = {
    "kind": "logistic_regression",
    "features": "raw",
    "solver": "newton-cholesky",
    "max_iter": 100,
    "settings": [{"C": 1.0}, {"C": 1e-6}],
}
BOOSTING = {
    "kind": "gradient_boosting", "library": "lightgbm", "max_rounds": 200, "patience": 10,
    "arguments": {"lambda_l2": 1.0, "min_data_in_leaf": 5},
    "settings": [{"learning_rate": 0.1, "num_leaves": 7}, {"learning_rate": 0.0001, "num_leaves": 2}],
}  # fmt: skip
NETWORK = {
    "kind": "network", "features": "raw", "units": 8, "layers": 1, "frequencies": 4, "dimensions": 3,
    "batch_size": 64, "epochs": 4, "min_steps": 60, "warmup": 0.1, "patience": 50,
    "settings": [{"learning_rate": 0.003, "weight_decay": 0.1, "dropout": 0.1, "label_smoothing": 0.05,
                  "wave_deviation": 0.1},
                 {"learning_rate": 1e-6, "weight_decay": 0.0, "dropout": 0.0, "label_smoothing": 0.0,
                  "wave_deviation": 0.1}],
}  # fmt: skip

ENGINEERED = LOGISTIC | {"features": "engineered", "solver": "lbfgs", "settings": [{"C": 0.1}, {"C": 1e-6}]}
FOREST = {
    "kind": "estimator", "estimator": "sklearn.ensemble.RandomForestClassifier", "features": "raw",
    "arguments": {"n_estimators": 50}, "settings": [{"min_samples_leaf": 10}, {"min_samples_leaf": 100}],
}  # fmt: skip
SVM = {
    "kind": "estimator", "estimator": "sklearn.svm.SVC", "features": "raw", "arguments": {}, "settings": [{"C": 1.0}],
}  # fmt: skip
NEIGHBOURS = {
    "kind": "estimator", "estimator": "sklearn.neighbors.KNeighborsClassifier", "features": "raw", "arguments": {},
    "settings": [{"n_neighbors": 7}],
}  # fmt: skip
SKLEARN_BOOSTING = BOOSTING | {
    "library": "sklearn", "arguments": {"l2_regularization": 1.0},
    "settings": [{"learning_rate": 0.1, "max_leaf_nodes": 7}, {"learning_rate": 0.0001, "max_leaf_nodes": 2}],
}  # fmt: skip
LEARNERS = {"logistic": LOGISTIC, "engineered": ENGINEERED, "boosting": BOOSTING, "sklearn": SKLEARN_BOOSTING,
            "forest": FOREST, "network": NETWORK}  # fmt: skip

each_learner = pytest.mark.parametrize("config", LEARNERS.values(), ids=LEARNERS)


def parse(config: dict) -> params.Kind:
    return params.Learner.model_validate(config).root


def draw_of(features: Features, labels: np.ndarray, rows: slice) -> Draw:
    part, y = features[rows], labels[rows]
    cut = len(y) * 4 // 5
    return Draw(part[:cut], y[:cut], part[cut:], y[cut:])


@each_learner
def test_a_fit_beats_the_constant_predictor_and_gives_probabilities(config, blobs):
    features, labels = blobs
    kind = parse(config)
    learner, _ = make_learner(kind, 2, threads=1)
    jobs = [Job(draw_of(features, labels, slice(i * 200, (i + 1) * 200)), kind.settings[0], seed=i) for i in range(2)]
    records = learner.fit(jobs)
    probabilities = learner.predict_proba(features[400:], [0, 1])
    assert probabilities.shape == (2, 200, 2)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, atol=1e-5)
    for record, p, job in zip(records, probabilities, jobs, strict=True):
        assert record.status in ("ok", "unconverged")
        assert log_loss(labels[400:], p) < 0.62 < np.log(2)
        own = learner.predict_proba(job.draw.validation, [jobs.index(job)])[0]
        assert record.validation_loss == pytest.approx(log_loss(job.draw.validation_labels, own), abs=1e-5)
        tells = config not in (FOREST, SKLEARN_BOOSTING)  # libraries that do not say how large their models are
        assert (record.n_parameters is not None, record.train_flops is not None) == (tells, tells)
        assert record.n_parameters is None or record.n_parameters > 0
        assert record.train_flops is None or record.train_flops > 0


@each_learner
def test_the_same_jobs_give_the_same_bytes(config, blobs):
    features, labels = blobs
    kind = parse(config)

    def predicted() -> bytes:
        learner, _ = make_learner(kind, 2, threads=1)
        learner.fit([Job(draw_of(features, labels, slice(0, 300)), setting, seed=7) for setting in kind.settings])
        return learner.predict_proba(features[300:], [1, 0]).tobytes()

    assert predicted() == predicted()


@each_learner
def test_a_refit_is_a_fit_of_all_rows_and_forgets_which_were_held_out(config, blobs):
    features, labels = blobs
    kind = parse(config)
    draw = draw_of(features, labels, slice(0, 300))
    np.testing.assert_array_equal(draw.whole.fit_labels, labels[:300])
    np.testing.assert_array_equal(draw.whole.fit.numeric, features.numeric[:300])
    learner, _ = make_learner(kind, 2, threads=1)
    jobs = [Job(draw, kind.settings[1], 3), *(Job(draw, kind.settings[0], seed) for seed in range(6))]
    first = learner.fit(jobs)
    before = learner.predict_proba(features[300:], range(1, 7))
    record, *_ = learner.refit(range(1, 7))
    after = learner.predict_proba(features[300:], range(6))
    assert record.validation_loss == first[1].validation_loss
    assert not np.array_equal(before, after)
    losses = [np.mean([log_loss(labels[300:], p) for p in of_jobs]) for of_jobs in (before, after)]
    assert losses[1] < losses[0] + 0.03
    if first[1].train_flops is not None:
        assert record.train_flops is not None
        assert record.train_flops > first[1].train_flops
    again, _ = make_learner(kind, 2, threads=1)
    again.fit(jobs[1:2])
    again.refit([0])
    np.testing.assert_allclose(again.predict_proba(features[300:], [0])[0], after[0], atol=1e-5)


@pytest.mark.parametrize("library", ["lightgbm", "sklearn", "xgboost", "catboost"])
def test_each_booster_takes_missing_values_and_categories_as_they_are(library):
    pytest.importorskip(library)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(3000, 1)).astype(np.float32)
    numbers[rng.random(3000) < 0.3] = np.nan
    codes = rng.integers(12, size=(3000, 1)).astype(np.int32)
    labels = (np.isnan(numbers[:, 0]) ^ np.isin(codes[:, 0], [1, 4, 6, 9])).astype(np.int64)
    features = Features(numbers, codes)
    config = {"kind": "gradient_boosting", "library": library, "max_rounds": 60, "patience": 10, "arguments": {},
              "settings": [{"learning_rate": 0.3}]}  # fmt: skip
    learner, _ = make_learner(parse(config), 2, threads=1)
    (record,) = learner.fit([Job(draw_of(features, labels, slice(0, 2000)), parse(config).settings[0], 0)])
    assert 1 <= record.epochs <= 60
    assert log_loss(labels[2000:], learner.predict_proba(features[2000:], [0])[0]) < 0.1


def test_boosting_gives_the_same_bytes_side_by_side_as_one_by_one(blobs):
    features, labels = blobs
    kind = parse(BOOSTING)

    def predicted(threads: int) -> bytes:
        learner, _ = make_learner(kind, 2, threads)
        learner.fit([Job(draw_of(features, labels, slice(0, 300)), setting, seed=7) for setting in kind.settings * 2])
        learner.refit([3, 0, 2])
        return learner.predict_proba(features[300:], [0, 1, 2]).tobytes()

    assert predicted(threads=3) == predicted(threads=1)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_lightgbm_predicts_some_rounds_at_a_time_what_it_predicts_at_once(n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(n_classes, size=300)
    library = LightGBM(threads=1)
    model, _ = library.fit(X, y, None, np.zeros(4, bool), Rounds(13, 10), {}, 0, n_classes)  # 5, 5 and 3 rounds
    np.testing.assert_allclose(library.predict(model, X), model.predict(X), atol=1e-12)


def test_boosting_says_where_it_was_cut_off_and_what_a_library_does_not_take(blobs):
    features, labels = blobs
    draw = draw_of(features, labels, slice(0, 300))
    cut = parse(BOOSTING | {"max_rounds": 3})
    learner, _ = make_learner(cut, 2, threads=1)
    (record,) = learner.fit([Job(draw, cut.settings[0], 0)])
    assert (record.status, record.reason) == ("unconverged", "the validation loss still fell at max_rounds=3")
    wrong = parse(BOOSTING | {"settings": [{"num_leaves": -5}]})
    learner, _ = make_learner(wrong, 2, threads=1)
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
    learner, _ = make_learner(kind, 2, threads=1)
    with pytest.raises(InputError, match=message):
        learner.fit([Job(draw_of(features, labels, slice(0, 300)), kind.settings[0], 0)])


def test_a_forest_of_lightgbm_predicts_what_it_predicts_itself():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(2, size=300)
    library = LightGBM(threads=1)
    forest = {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}
    model, _ = library.fit(X, y, None, np.zeros(4, bool), Rounds(13, 10), forest, 0, 2)
    np.testing.assert_array_equal(library.predict(model, X), model.predict(X))


def test_sklearns_booster_is_judged_and_made_again_at_its_best_round(blobs):
    features, labels = blobs
    X, y = features.numeric, labels
    library = Sklearn(threads=1)
    (fitted, n_best), n_rounds = library.fit(
        X[:300], y[:300], (X[300:400], y[300:400]), np.zeros(2, bool), Rounds(200, 10), {}, 0, 2
    )
    losses = [log_loss(y[300:400], p.astype(np.float32)) for p in fitted.staged_predict_proba(X[300:400])]
    assert n_best == n_rounds == 1 + int(np.argmin(losses)) == fitted.n_iter_ - 10
    held_out = library.predict((fitted, n_best), X[300:400]).astype(np.float32)
    assert log_loss(y[300:400], held_out) == pytest.approx(min(losses))


def test_a_record_of_two_fits_tells_the_worse():
    fine, cut = (Record(status, status, 0.5, 0.6, 3, 1, 1.0) for status in ("ok", "unconverged"))
    broken = Record("diverged", "diverged", float("nan"), float("nan"), 3, 1, 1.0)
    assert [in_all(*pair).status for pair in ((fine, fine), (cut, fine), (fine, broken), (cut, broken))] == [
        "ok", "unconverged", "diverged", "diverged",
    ]  # fmt: skip
    assert in_all(cut, broken).reason == "diverged"


@each_learner
def test_a_second_fit_forgets_the_first(config, blobs):
    features, labels = blobs
    kind = parse(config)
    first, second = (
        Job(draw_of(features, labels, rows), kind.settings[0], 0) for rows in (slice(0, 60), slice(0, 400))
    )
    learner, _ = make_learner(kind, 2, threads=1)
    learner.fit([first, first, first])
    learner.fit([second])
    alone, _ = make_learner(kind, 2, threads=1)
    alone.fit([second])
    np.testing.assert_array_equal(learner.predict_proba(features[400:], [0]), alone.predict_proba(features[400:], [0]))


@each_learner
def test_a_class_without_fitted_rows_gets_a_small_probability_and_no_crash(config, blobs):
    features, labels = blobs
    kind = parse(config)
    draw = draw_of(features, labels, slice(0, 200))
    draw.validation_labels[0] = 2  # of three classes, none among the fitted rows
    learner, _ = make_learner(kind, 3, threads=1)
    learner.fit([Job(draw, kind.settings[0], seed=0)])
    probabilities = learner.predict_proba(features[200:], [0])
    assert probabilities.shape == (1, 400, 3)
    assert probabilities[0, :, 2].mean() < 0.1


@each_learner
def test_tuning_takes_the_setting_with_the_lower_held_out_loss(config, blobs):
    features, labels = blobs
    kind = parse(config)
    rng = np.random.default_rng(0)
    replicates = [Replicate(i, i, rng.permutation(400)[:200], seed=i) for i in range(3)]
    learner, _ = make_learner(kind, 2, threads=1)
    pool = Pool(features, labels, None)
    choices, records, probabilities = tune_and_fit(learner, replicates, pool, kind.settings, BUDGET, features[400:])
    assert probabilities.shape == (3, 200, 2)
    for choice, record in zip(choices, records, strict=True):
        assert len(choice.losses) == 2
        # The second setting of each learner is crippled.
        assert (choice.index, choice.setting) == (0, kind.settings[0])
        assert choice.losses[0] < choice.losses[1]
        assert record.validation_loss == choice.losses[0]


class Spy:
    """A learner that records the jobs it gets; the setting at `best` has the lowest loss."""

    def __init__(self, best: int):
        self.best = best
        self.calls: list[list[Job]] = []
        self.rows: list[set[int]] = []  # of each replicate
        self.prefixes: list[set[int]] = []
        self.refitted: list[Job] = []

    def fit(self, jobs):
        self.calls.append(jobs)
        settings = list(dict.fromkeys(job.setting for job in jobs))
        return [
            Record(
                "ok", "", 0.1, 0.2 if settings.index(job.setting) == self.best or len(settings) == 1 else 0.3, 1, 1, 1
            )
            for job in jobs
        ]

    def refit(self, jobs):
        self.refitted = [self.calls[-1][job] for job in jobs]
        return [Record("ok", "", 0.1, 0.2, 1, 1, 1) for _ in jobs]

    def predict_proba(self, features, jobs):
        assert len(jobs) == len(self.refitted)
        return np.full((len(jobs), len(features), 2), 0.5, np.float32)


def spied(n: int, tuning_rows: int, groups: np.ndarray | None = None) -> Spy:
    rng = np.random.default_rng(0)
    features = Features(np.arange(1000, dtype=np.float32)[:, None], np.zeros((1000, 0), np.int32))
    pool = Pool(features, rng.integers(2, size=1000), groups)
    replicates = [Replicate(i, i, rng.permutation(1000)[:n], seed=i) for i in range(3)]
    spy = Spy(best=1)
    settings = [params.LogisticRegressionSetting(C=c) for c in (1.0, 2.0, 3.0)]
    if n <= tuning_rows:
        choices, _, _ = tune_and_fit(spy, replicates, pool, settings[:2], BUDGET, features[:5])
    else:
        prefixes = [replace(replicate, rows=replicate.rows[:tuning_rows]) for replicate in replicates]
        choices = compete(spy, prefixes, pool, settings[:2], BUDGET).choices
        fit_chosen(spy, replicates, pool, choices, BUDGET, features[:5])
    assert all(choice.setting == settings[1] for choice in choices)
    spy.rows = [set(r.rows) for r in replicates]
    spy.prefixes = [set(r.rows[:tuning_rows]) for r in replicates]
    return spy


def rows_of(draw: Draw) -> tuple[set[int], set[int]]:
    return set(draw.fit.numeric[:, 0].astype(int)), set(draw.validation.numeric[:, 0].astype(int))


def test_only_the_n_labels_are_used_and_a_fifth_of_them_is_held_out():
    spy = spied(n=200, tuning_rows=500)
    (jobs,) = spy.calls  # with n at most tuning_rows one call fits and tunes
    assert len(jobs) == 3 * 2  # replicates x n_settings
    for i, job in enumerate(jobs):
        fit, held = rows_of(job.draw)
        assert fit | held == spy.rows[i // 2]
        assert not fit & held
        assert len(held) == 40
    assert spy.refitted == jobs[1::2]  # the choice is fitted again


def test_beyond_tuning_rows_the_settings_compete_on_the_prefix_and_the_choice_is_fitted_on_all_rows():
    spy = spied(n=400, tuning_rows=100)
    tuned, final = spy.calls
    assert [len(tuned), len(final)] == [6, 3]
    for i, job in enumerate(tuned):
        fit, held = rows_of(job.draw)
        assert fit | held == spy.prefixes[i // 2]
    for i, job in enumerate(final):
        fit, held = rows_of(job.draw)
        assert fit | held == spy.rows[i]
        assert len(held) == 80
        assert job.setting == params.LogisticRegressionSetting(C=2.0)
    assert spy.refitted == final


def test_crossed_initialisations_take_the_choice_of_their_draw():
    features = Features(np.arange(300, dtype=np.float32)[:, None])
    pool = Pool(features, np.arange(300) % 2, None)
    settings = [params.LogisticRegressionSetting(C=c) for c in (1.0, 2.0)]
    choices = [Choice(i, settings[i], [0.1, 0.1]) for i in (1, 0)]
    spy = Spy(best=0)
    pairs = [(0, 0), (1, 1), (0, 1), (1, 0)]
    replicates = [Replicate(draw, init, np.arange(100) + 100 * draw, seed=init) for draw, init in pairs]
    fit_chosen(spy, replicates, pool, choices, BUDGET, features[:5])
    assert [job.setting for job in spy.calls[0]] == [settings[1], settings[0], settings[1], settings[0]]


def test_no_group_stands_on_both_sides_of_the_held_out_rows():
    groups = np.random.default_rng(1).integers(50, size=1000)
    spy = spied(n=400, tuning_rows=100, groups=groups)
    for call in spy.calls:
        for job in call:
            fit, held = rows_of(job.draw)
            assert not set(groups[list(fit)]) & set(groups[list(held)])
            n = len(fit) + len(held)
            assert n // 5 <= len(held) < n // 5 + 60


def test_held_out_rows_are_capped():
    budget = BUDGET.model_copy(update={"validation_rows": 16})
    assert held_out(1000, None, budget).sum() == 16
    assert held_out(1000, None, BUDGET).sum() == 200


def test_with_times_the_latest_rows_are_held_out_those_of_one_moment_together():
    times = np.random.default_rng(0).permutation(np.repeat(np.arange(50), 4))
    held = latest(times, BUDGET)
    assert times[held].min() == 40
    assert times[~held].max() == 39
    with pytest.raises(TooFewRows, match="all rows are of one moment"):
        latest(np.zeros(100, np.int64), BUDGET)


def test_too_few_groups_to_hold_one_out_are_refused():
    with pytest.raises(InputError, match=r"n_train=100: 1 groups are too few .* raise scale.sizes"):
        held_out(100, np.zeros(100, np.int64), BUDGET)


def test_encodings_are_those_of_scikit_learn(blobs):
    features, _ = blobs
    fit, new = features[:400], features[400:]
    encoder = Encoder(fit)
    scaled = RobustScaler(unit_variance=True).fit(fit.numeric).transform(new.numeric)
    bent = scaled / np.sqrt(1 + (scaled / 3) ** 2)
    words = OneHotEncoder(sparse_output=False).fit(fit.categorical).transform(new.categorical)
    encoded = encoder.one_hot(new)
    assert encoded.dtype == np.float32
    assert encoded.shape == (200, 2 + 1 + 4 + 1)  # numbers, one indicator of missing, categories, rare or unseen
    np.testing.assert_allclose(encoded[:, :2], np.nan_to_num(bent), atol=1e-5)
    np.testing.assert_array_equal(encoded[:, 2], np.isnan(new.numeric[:, 1]))
    np.testing.assert_array_equal(encoded[:, 3:7], words)
    assert not encoded[:, 7].any()
    np.testing.assert_array_equal(encoder.ordinal(new), np.hstack([new.numeric, new.categorical]))


def test_encoders_know_only_the_rows_they_were_fitted_on():
    numbers = np.array([[1.0], [3.0], [np.nan], [2.0]] * 3, np.float32)
    encoder = Encoder(Features(numbers, np.array([[0], [1], [1], [0]] * 3, np.int32)))
    unseen = Features(np.array([[2.0], [np.nan]], np.float32), np.array([[9], [1]], np.int32))
    # mean 2 of 1, 3, 2; columns: standardised number, indicator of missing, category 0, category 1, unseen
    np.testing.assert_allclose(encoder.one_hot(unseen), [[0, 0, 0, 0, 1], [0, 1, 0, 1, 0]], atol=1e-6)
    np.testing.assert_array_equal(encoder.ordinal(unseen), [[2, 2], [np.nan, 1]])


@each_learner
def test_held_out_rows_do_not_touch_what_is_fitted_before_a_learner(config, blobs):
    """With other held-out numbers and categories, each encoder gives the same inputs."""
    features, labels = blobs
    kind = parse(config)
    draw = draw_of(features, labels, slice(0, 300))
    far = Features(draw.validation.numeric * 1e6, draw.validation.categorical + 10)
    inputs = []
    for held, held_labels in ((draw.validation, draw.validation_labels), (far, 1 - draw.validation_labels)):
        learner: Any = make_learner(kind, 2, threads=1)[0]
        learner.fit([Job(Draw(draw.fit, draw.fit_labels, held, held_labels), kind.settings[0], seed=0)])
        encoder = learner._encoders[0].encoder if kind.kind == "network" else learner._fitted[0][0]
        found = encoder.ordinal(features) if kind.kind == "gradient_boosting" else encoder.matrix(features)
        inputs.append(sparse.csr_matrix(found).toarray())
    np.testing.assert_array_equal(inputs[0], inputs[1])


@pytest.mark.parametrize("setting", [{"n_neighbors": 127}, {"n_neighbors": 31}])
def test_more_neighbours_than_labels_are_all_of_them(setting, blobs):
    features, labels = blobs
    kind = parse(NEIGHBOURS | {"settings": [setting]})
    learner, _ = make_learner(kind, 2, threads=1)
    draw = draw_of(features, labels, slice(0, 32))
    learner.fit([Job(draw, kind.settings[0], seed=0)])
    shares = np.bincount(draw.fit_labels) / len(draw.fit_labels)
    np.testing.assert_allclose(learner.predict_proba(features, [0])[0], np.tile(shares, (600, 1)), atol=1e-6)


def test_inputs_beyond_the_memory_are_refused(blobs, monkeypatch):
    monkeypatch.setattr("stages.common.provenance.memory", lambda: 4 * 10_000)
    features, _ = blobs
    with pytest.raises(InputError, match=r"600 rows of \d+ inputs need 0\.0 GB, a quarter of .*; drop columns of many"):
        Encoder(features).one_hot(features)


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/app/job\n", {"memory.max": "max", "app/memory.max": "7000", "app/job/memory.max": "9000"}, 7000),
        ("5:cpu:/\n4:memory:/docker/a\n", {"memory/docker/a/memory.limit_in_bytes": "5000"}, 5000),
        ("0::/\n", {"memory.max": "max"}, None),
        (None, {}, None),
    ],
)
def test_the_memory_is_the_containers_where_that_is_less(tmp_path, groups, limits, expected):
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, limit in limits.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    found = provenance.memory(tmp_path)
    assert found == expected if expected else found > 100e6


def test_rare_categories_share_the_entry_that_serves_unseen_ones():
    codes = np.array([[0]] * 10 + [[1]] * 2 + [[2]] + [[-1]] * 4)  # two rare ones; -1 is missing
    encoder = Encoder(Features(np.zeros((17, 1), np.float32), codes.astype(np.int32)))
    rows = Features(np.zeros((5, 1), np.float32), np.array([[0], [1], [2], [7], [-1]], np.int32))
    encoded = encoder.one_hot(rows)[:, 1:]
    np.testing.assert_array_equal(encoded, [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1], [1, 0, 0]])


def test_a_column_of_many_categories_keeps_the_most_frequent():
    codes = np.repeat(np.arange(400), np.r_[np.full(200, 3), np.full(200, 5)]).astype(np.int32)[:, None]
    encoder = Encoder(Features(np.zeros((len(codes), 0), np.float32), codes))
    (vocabulary,) = encoder.vocabularies
    assert len(vocabulary) == 254
    assert set(range(200, 400)) <= set(vocabulary)
    assert encoder.ordinal(Features(np.zeros((1, 0), np.float32), np.array([[399]], np.int32))).max() == 253


def test_a_constant_and_an_empty_column_are_harmless():
    numbers = np.stack([np.full(20, 7.0), np.full(20, np.nan)], axis=1).astype(np.float32)
    features = Features(numbers, np.zeros((20, 0), np.int32))
    np.testing.assert_array_equal(Encoder(features).one_hot(features), np.tile([0, 0, 1], (20, 1)))


def test_a_diverged_replicate_has_no_predictions(blobs):
    features, labels = blobs
    setting = {
        "learning_rate": 1e30,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "label_smoothing": 0.0,
        "wave_deviation": 0.1,
    }
    kind = parse(NETWORK | {"settings": [setting]})
    learner, _ = make_learner(kind, 2, threads=1)
    replicates = [Replicate(i, i, np.arange(200), seed=i) for i in range(3)]
    choices, records, probabilities = tune_and_fit(
        learner, replicates, Pool(features, labels, None), kind.settings, BUDGET, features[400:]
    )
    assert {record.status for record in records} == {"diverged"}
    assert np.isnan(probabilities).all()
    summary = train.summarise(choices, records)
    assert summary["status"] == "diverged"
    assert summary["validation_loss"] == [None] * 3


@pytest.fixture
def prepared(blobs) -> None:
    """In the workspace: data of two classes, three draws of 64 and of 128 rows, and the first 64 to tune on."""
    features, labels = blobs
    for side, rows in {"pool": np.arange(400), "test": np.arange(400, 600)}.items():
        artefacts.save_features(side, features, rows)
    artefacts.save_array(artefacts.PREPARED / "pool_labels.npy", labels[:400])
    artefacts.save_json(artefacts.FEATURES / "layout.json", {"n_classes": 2, "held_out_by": "row"})
    orders = np.stack([np.random.default_rng(draw).permutation(400) for draw in range(3)])
    for n in (64, 128):
        artefacts.save_array(artefacts.subset_path(n), orders[:, :n])
        artefacts.save_json(artefacts.pairs_path(n), [[0, 0], [1, 1], [2, 2]])
    artefacts.save_array(artefacts.TUNING_ROWS, orders[:, :64])


@pytest.fixture
def run_stage(set_params, prepared, monkeypatch) -> Any:
    """Runs `python -m stages.train` with these arguments and this learner in params.yaml."""

    def run(*arguments: str, learner: dict, sizes: tuple[int, ...] = (64, 128), seconds: int = 60) -> None:
        budget = BUDGET.model_dump() | {"timeout_seconds": seconds}
        scale = {"n_settings": len(learner["settings"]), "tuning_rows": 64}
        set_params(learners={"it": learner}, train=budget, scale=scale, grid={"sizes": list(sizes)})
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        train.main()

    return run


@each_learner
def test_tuning_once_gives_each_larger_cell_what_tuning_there_would(config, run_stage):
    run_stage("--tune", "it", learner=config)
    small, large = (artefacts.load_json(artefacts.tuning_path("it", n)) for n in (64, 128))
    assert small == {"tuned_by": "cell"}
    assert (large["tuned_by"], large["status"], large["choices"]) == ("tune", "ok", [0, 0, 0])
    competed = artefacts.load_predictions(artefacts.TUNING / "it")
    assert competed.shape == (3, 2, 200, 2)
    run_stage("it", "64", learner=config)
    run_stage("it", "128", learner=config)
    cells = [artefacts.load_json(artefacts.cell_path("it", n) / "cell.json") for n in (64, 128)]
    assert cells[0]["tuning_losses"] == cells[1]["tuning_losses"] == large["tuning_losses"]
    np.testing.assert_allclose(competed.sum(axis=3), 1, atol=1e-5)
    assert cells[1]["settings"] == [config["settings"][0]] * 3


def test_another_size_leaves_the_tuning_of_the_others_as_it_was(run_stage):
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (artefacts.TUNING / "it").iterdir()}

    run_stage("--tune", "it", learner=LOGISTIC)
    before = files()
    run_stage("--tune", "it", learner=LOGISTIC, sizes=(64, 128, 256))
    after = files()
    assert after.keys() - before.keys() == {"256.json"}
    assert {name: after[name] for name in before} == before


def test_with_no_size_above_tuning_rows_nothing_is_fitted(run_stage, monkeypatch):
    monkeypatch.setattr(LogisticRegressionLearner, "fit", lambda self, jobs: pytest.fail("fitted"))
    artefacts.save_array(artefacts.TUNING_ROWS, np.empty((3, 0), np.int64))
    run_stage("--tune", "it", learner=LOGISTIC, sizes=(64,))
    assert artefacts.load_predictions(artefacts.TUNING / "it").shape == (0, 2, 200, 2)
    assert artefacts.load_json(artefacts.tuning_path("it", 64)) == {"tuned_by": "cell"}


@pytest.mark.parametrize("arguments", [["it"], ["--tune", "it", "64"]])
def test_a_cell_needs_a_size_and_tuning_none(arguments, run_stage, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_stage(*arguments, learner=LOGISTIC)
    assert stopped.value.code == 2
    assert "name a learner and a size, or --tune and a learner" in capsys.readouterr().err


def assert_timed_out(n_train: int, reason: str) -> None:
    folder = artefacts.cell_path("it", n_train)
    cell = artefacts.load_json(folder / "cell.json")
    assert (cell["status"], cell["reason"], cell["settings"]) == ("timeout", reason, None)
    probabilities = artefacts.load_predictions(folder)
    assert probabilities.shape == (3, 200, 2)
    assert np.isnan(probabilities).all()
    assert artefacts.load_json(artefacts.timing_path("it", n_train))["fit_seconds"] < 30


def test_a_cell_that_takes_too_long_is_recorded_and_exits_well(run_stage, monkeypatch):
    run_stage("--tune", "it", learner=LOGISTIC)
    monkeypatch.setattr(LogisticRegressionLearner, "fit", lambda self, jobs: time.sleep(60))
    run_stage("it", "64", learner=LOGISTIC, seconds=1)
    assert_timed_out(64, "longer than train.timeout_seconds=1")


@each_learner
def test_a_cell_of_one_class_alone_is_recorded_with_what_to_do(config, run_stage):
    labels = np.array(artefacts.load_array(artefacts.PREPARED / "pool_labels.npy"))
    of_one = np.flatnonzero(labels == 0)[:64]
    artefacts.save_array(artefacts.subset_path(64), np.stack([of_one] * 3))
    artefacts.save_array(artefacts.TUNING_ROWS, np.stack([of_one] * 3))
    run_stage("--tune", "it", learner=config)
    for n in (64, 128):
        run_stage("it", str(n), learner=config)
        cell = artefacts.load_json(artefacts.cell_path("it", n) / "cell.json")
        assert (cell["status"], cell["settings"], cell["epochs"]) == ("diverged", None, None)
        assert "n_train=64: the rows to fit hold one class only; raise scale.sizes" in cell["reason"]
        assert np.isnan(artefacts.load_predictions(artefacts.cell_path("it", n))).all()


def test_tuning_that_takes_too_long_marks_the_cells_above_it_alone(run_stage, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(LogisticRegressionLearner, "fit", lambda self, jobs: time.sleep(60))
        run_stage("--tune", "it", learner=LOGISTIC, seconds=1)
    assert np.isnan(artefacts.load_predictions(artefacts.TUNING / "it")).all()
    for n in ("64", "128"):
        run_stage("it", n, learner=LOGISTIC)
    assert_timed_out(128, "tuning took longer than train.timeout_seconds=1")
    assert artefacts.load_json(artefacts.cell_path("it", 64) / "cell.json")["status"] == "ok"


@pytest.mark.parametrize(("max_iter", "status"), [(1, "unconverged"), (100, "ok")])
def test_a_solver_that_stops_early_is_marked(blobs, max_iter, status):
    features, labels = blobs
    kind = parse(LOGISTIC | {"max_iter": max_iter, "solver": "lbfgs"})
    learner, _ = make_learner(kind, 2, threads=1)
    (record,) = learner.fit([Job(draw_of(features, labels, slice(0, 300)), kind.settings[0], seed=0)])
    assert record.status == status
    assert bool(record.reason) == (status != "ok")


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
    learner, _ = make_learner(kind, 2, threads=1)
    message = r"^sklearn\.ensemble\.RandomForestClassifier: .*(n_trees|min_samples_leaf).*; see to the learner's `arg"
    with pytest.raises(InputError, match=message):
        learner.fit([Job(draw_of(features, labels, slice(0, 300)), kind.settings[0], 0)])


def test_crossings_let_a_linear_learner_see_what_only_pairs_tell():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=(3000, 2)).astype(np.int32)
    labels = (codes[:, 0] == codes[:, 1]).astype(np.int64)  # neither column alone tells anything
    features = Features(np.empty((3000, 0), np.float32), codes)
    losses = {}
    for how, config in {"raw": LOGISTIC, "engineered": ENGINEERED}.items():
        learner, _ = make_learner(parse(config), 2, threads=1)
        learner.fit([Job(draw_of(features, labels, slice(0, 2000)), parse(config).settings[0], 0)])
        losses[how] = log_loss(labels[2000:], learner.predict_proba(features[2000:], [0])[0])
    assert losses["raw"] > 0.6
    assert losses["engineered"] < 0.15


def test_splines_let_a_linear_learner_bend():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(3000, 1)).astype(np.float32)
    labels = (np.abs(numbers[:, 0]) > 0.7).astype(np.int64)
    features = Features(numbers, np.empty((3000, 0), np.int32))
    learner, _ = make_learner(parse(ENGINEERED | {"settings": [{"C": 10.0}]}), 2, threads=1)
    learner.fit([Job(draw_of(features, labels, slice(0, 2000)), params.LogisticRegressionSetting(C=10.0), 0)])
    assert log_loss(labels[2000:], learner.predict_proba(features[2000:], [0])[0]) < 0.2


def test_the_information_of_a_column_is_that_of_scikit_learn_less_its_bias():
    from sklearn.metrics import mutual_info_score

    from stages.train.engineered import _information

    rng = np.random.default_rng(0)
    levels, labels = rng.integers(6, size=500), rng.integers(3, size=500)
    assert _information(levels, labels) == pytest.approx(mutual_info_score(levels, labels) - 5 * 2 / 1000)
    assert abs(_information(levels, labels)) < 0.01 < _information(labels, labels)


def test_a_classifier_without_probabilities_gets_calibrated_ones():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=6000)
    numbers = (rng.normal(size=(6000, 2)) + labels[:, None]).astype(np.float32)
    features = Features(numbers, np.empty((6000, 0), np.int32))
    learner, _ = make_learner(parse(SVM), 2, threads=1)
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
    features = Features(numbers, np.empty((900, 0), np.int32))
    held = slice(300, 300 + n_held)
    learner, _ = make_learner(parse(SVM), 4, threads=1)
    draw = Draw(features[:300], labels[:300], features[held], labels[held])
    learner.fit([Job(draw, parse(SVM).settings[0], 0)])
    probabilities = learner.predict_proba(features[400:], [0])[0]
    assert log_loss(labels[400:], probabilities) < 0.8
    assert (probabilities.argmax(axis=1) == labels[400:]).mean() > 0.9


def test_calibration_learns_how_rare_a_class_is():
    rng = np.random.default_rng(0)
    labels = (rng.random(6000) < 0.1).astype(np.int64)
    numbers = rng.normal(size=(6000, 2)).astype(np.float32)  # tell nothing
    features = Features(numbers, np.empty((6000, 0), np.int32))
    learner, _ = make_learner(parse(SVM), 2, threads=1)
    learner.fit([Job(draw_of(features, labels, slice(0, 3000)), parse(SVM).settings[0], 0)])
    assert log_loss(labels[3000:], learner.predict_proba(features[3000:], [0])[0]) < 0.35 < np.log(2)


def test_an_outlier_neither_sets_the_scale_of_a_network_s_inputs_nor_leaves_it():
    numbers = np.random.default_rng(0).normal(5, 2, (1000, 3)).astype(np.float32)
    numbers[:, 1] = np.arange(1000) < 100  # quartiles that are equal
    numbers[3, 2] = np.nan
    plain = Encoder(Features(numbers)).matrix(Features(numbers))
    spoiled = numbers.copy()
    spoiled[0, 0] = 1e9
    X = Encoder(Features(spoiled)).matrix(Features(spoiled))
    np.testing.assert_allclose(X[1:], plain[1:], atol=0.02)
    assert X[0, 0] == pytest.approx(3, abs=1e-3)
    assert np.median(X[:, 0]) == pytest.approx(0, abs=1e-2)
    middle = np.abs(numbers[:, 0] - 5) < 1
    np.testing.assert_allclose(plain[middle, 0], (numbers[middle, 0] - np.median(numbers[:, 0])) / 2, atol=0.06)
    assert np.isfinite(X).all()
    assert X[3, 2] == 0
    assert X[:, 1].std() == pytest.approx(0.7, abs=0.1)


def edges(n: int = 20, side: int = 16) -> Features:
    """Images with a bright half: left of even ones, upper of odd ones."""
    pixels = np.random.default_rng(0).integers(0, 20, (n, side, side, 1), dtype=np.uint8)
    pixels[::2, :, : side // 2] += 150
    pixels[1::2, : side // 2] += 150
    return Features(pixels=pixels)


def test_pixels_share_one_mean_and_deviation_and_are_no_categories():
    images = edges()
    encoder = Encoder(images)
    X = encoder.matrix(images)
    assert X.shape == (20, 256)
    assert X.mean() == pytest.approx(0, abs=1e-4)
    assert X.std() == pytest.approx(1, abs=1e-4)
    brighter = Features(pixels=images.pixels + np.uint8(50))
    np.testing.assert_allclose(encoder.matrix(brighter) - X, 50 / images.pixels.std(), rtol=1e-4)
    np.testing.assert_array_equal(encoder.ordinal(images), images.pixels.reshape(20, 256))
    assert n_ordered(images) == 256


def survey(n: int, seed: int) -> tuple[Features, np.ndarray]:
    """Four answers of five levels, two of which decide together."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(5, size=(n, 4)).astype(np.int32)
    y = ((codes[:, 0] + codes[:, 1]) % 5 < 2).astype(np.int64)
    return Features(np.empty((n, 0), np.float32), codes), y


def test_boosting_sees_two_columns_of_few_that_decide_together():
    content = yaml.safe_load((ROOT / "conf/learners/gradient_boosting.yaml").read_text())["gradient_boosting"]
    config = parse(content)
    (features, y), (test, truth) = survey(800, 0), survey(2000, 1)
    learner = make_learner(config, 2, 1)[0]
    pool = Pool(features, y, None)
    _, _, p = tune_and_fit(learner, [Replicate(0, 0, np.arange(800), 0)], pool, config.settings[:2], BUDGET, test)
    assert (p[0].argmax(axis=1) == truth).mean() > 0.9


def test_a_signal_has_one_mean_and_deviation_keeps_its_peaks_and_has_no_waves():
    values = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    values[0, 0] = 40.0
    features = Features(signal=values)
    np.testing.assert_allclose(Encoder(features).matrix(features), (values - values.mean()) / values.std(), rtol=1e-4)
    np.testing.assert_array_equal(Encoder(features).ordinal(features), values)
    assert n_ordered(features) == 5
    config = parse(NETWORK)
    assert isinstance(config, params.Network)
    assert NetworkEncoder(features, config).n_embedded == 0
    assert NetworkEncoder(Features(values), config).n_embedded == 5
    engineered = EngineeredEncoder(features, (values[:, 0] > 0).astype(np.int64))
    as_numbers = EngineeredEncoder(Features(values), (values[:, 0] > 0).astype(np.int64))
    expected = as_numbers.matrix(Features(values)).toarray()
    np.testing.assert_array_equal(engineered.matrix(features).toarray(), expected)


def test_gradient_histograms_see_the_direction_of_edges_and_not_their_brightness():
    images = edges()
    X = HogEncoder().matrix(images)
    assert X.shape == (20, 9 * 4 * 9)  # 3 x 3 blocks of 2 x 2 cells of 9 directions
    upright, flat = X[::2].mean(axis=0), X[1::2].mean(axis=0)
    assert upright.reshape(-1, 9).mean(axis=0).argmax() == 0
    assert flat.reshape(-1, 9).mean(axis=0).argmax() == 4
    darker = Features(pixels=images.pixels // 2)
    np.testing.assert_allclose(HogEncoder().matrix(darker).mean(axis=0), X.mean(axis=0), atol=0.3)
    with pytest.raises(InputError, match="8 x 8 pixels or more, not 7 x 7"):
        HogEncoder().matrix(Features(pixels=images.pixels[:, :7, :7]))


def words_of(n: int) -> tuple[Features, np.ndarray]:
    """Words of two to eight letters; those of class 1 end in `ka` more often than not."""
    rng = np.random.default_rng(0)
    letters = rng.integers(ord("a"), ord("p"), (n, 8)).astype(np.uint16)
    labels = rng.integers(0, 2, n)
    lengths = rng.integers(2, 9, n)
    for row, length, label in zip(letters, lengths, labels, strict=True):
        row[length:] = 0
        if rng.random() < (0.9 if label else 0.1):
            row[length - 2 : length] = ord("k"), ord("a")
    return Features(letters=letters), labels


def test_letters_as_a_sparse_matrix_are_the_dense_one_hot():
    words, _ = words_of(300)
    encoder = SparseEncoder(words[:200])
    np.testing.assert_array_equal(encoder.matrix(words).toarray(), encoder.one_hot(words))


def test_every_word_has_ngrams_of_one_length():
    words, _ = words_of(50)
    X = NgramEncoder().matrix(words)
    np.testing.assert_allclose(np.sqrt(X.multiply(X).sum(axis=1)), NGRAM_SCALE, rtol=1e-5)
    assert X.nnz / 50 > 5


@pytest.mark.parametrize("features", ["raw", "engineered"])
def test_the_solver_of_words_finds_what_lbfgs_finds(features):
    words, labels = words_of(600)
    draw = draw_of(words, labels, slice(0, 300))
    found = {}
    for solver in ("auto", "lbfgs"):
        kind = parse(LOGISTIC | {"features": features, "solver": solver, "max_iter": 2000})
        learner, _ = make_learner(kind, 2, threads=1)
        (record,) = learner.fit([Job(draw, params.LogisticRegressionSetting(C=0.1), seed=1)])
        assert record.status == "ok"
        probabilities = learner.predict_proba(words[300:], [0])[0]
        found[solver] = (log_loss(labels[300:], probabilities), record.epochs)
        assert (probabilities.argmax(axis=1) == labels[300:]).mean() > 0.8
    assert found["auto"][1] != found["lbfgs"][1]
    assert found["auto"][0] == pytest.approx(found["lbfgs"][0], abs=0.02)


def test_networks_of_ngrams_alone_leave_the_batch_like_others():
    words, labels = words_of(600)
    kind = parse(NETWORK | {"features": "engineered", "min_steps": 100})
    learner, _ = make_learner(kind, 2, threads=1)
    draws = [draw_of(words, labels, rows) for rows in (slice(0, 150), slice(150, 300))]
    records = learner.fit([Job(draw, setting, seed=1) for draw in draws for setting in kind.settings])
    good, bad = records[::2], records[1::2]  # the second setting next to never moves and leaves after a quarter
    assert max(record.validation_loss for record in good) < min(record.validation_loss for record in bad)
    assert max(record.epochs for record in bad) < min(record.epochs for record in good)
    learner.refit([0, 2])
    lengths = 2 + (words.letters[:120] != 0).sum(axis=1)  # with the marks of start and end
    n_ngrams = np.mean([sum(max(0, length - n) for n in range(4)) for length in lengths])
    multiplications = (n_ngrams + 2) * 8  # the vectors' sum, and the layer of 8 units and 2 outputs
    steps = 2 * records[0].epochs  # of 64 rows, of 120
    assert records[0].train_flops == pytest.approx(6 * steps * 64 * multiplications)
    for probabilities in learner.predict_proba(words[300:], [0, 1]):
        assert (probabilities.argmax(axis=1) == labels[300:]).mean() > 0.8


@each_learner
def test_every_learner_learns_from_images(config):
    images, labels = edges(200, 12), np.arange(200) % 2
    kind = parse(config)
    learner, _ = make_learner(kind, 2, threads=1)
    (record,) = learner.fit([Job(draw_of(images, labels, slice(0, 100)), kind.settings[0], seed=1)])
    assert record.validation_loss < 0.4
    found = learner.predict_proba(images[100:], [0])[0].argmax(axis=1)
    assert (found == labels[100:]).mean() > 0.9


def test_a_network_learns_from_gradient_histograms_and_tables_have_none(blobs):
    images, halves = edges(200, 12), np.arange(200) % 2
    kind = parse(NETWORK | {"features": "engineered"})
    learner, _ = make_learner(kind, 2, threads=1)
    learner.fit([Job(draw_of(images, halves, slice(0, 100)), kind.settings[0], seed=1)])
    learner.refit([0])
    assert (learner.predict_proba(images[100:], [0])[0].argmax(axis=1) == halves[100:]).mean() > 0.9
    features, labels = blobs
    with pytest.raises(InputError, match="no engineered features of tables"):
        learner.fit([Job(draw_of(features, labels, slice(0, 100)), kind.settings[0], seed=1)])


def test_reading_rows_from_disk_gives_the_rows(tmp_path):
    array = np.arange(30_000, dtype=np.int32).reshape(10_000, 3)
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    rows = np.random.default_rng(0).permutation(10_000)[:5000]
    np.testing.assert_array_equal(artefacts.take(mapped, rows), array[rows])
    np.testing.assert_array_equal(artefacts.take(mapped, slice(3, 9)), array[3:9])
    np.testing.assert_array_equal(artefacts.take(mapped, rows), array[rows])  # the pages come back
