"""Every learner behind the one interface."""

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from stages.common.features import tables
from stages.train.budget import Pool, Replicate, tune_and_fit
from stages.train.jobs import Draw, Job, Record, in_all
from stages.train.learners import make_learner
from stages.train.learners.scikit import log_loss
from tests.learners import BUDGET, FOREST, SKLEARN_BOOSTING, draw_of, each_learner, edges, parse


@each_learner
def test_a_fit_beats_the_constant_predictor_and_gives_probabilities(config, blobs):
    features, labels = blobs
    kind = parse(config)
    learner = make_learner(kind, 2, threads=1).learner
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
        learner = make_learner(kind, 2, threads=1).learner
        learner.fit([Job(draw_of(features, labels, slice(0, 300)), setting, seed=7) for setting in kind.settings])
        return learner.predict_proba(features[300:], [1, 0]).tobytes()

    assert predicted() == predicted()


@each_learner
def test_a_refit_is_a_fit_of_all_rows_and_forgets_which_were_held_out(config, blobs):
    features, labels = blobs
    kind = parse(config)
    draw = draw_of(features, labels, slice(0, 300))
    np.testing.assert_array_equal(draw.whole.fit_labels, labels[:300])
    np.testing.assert_array_equal(draw.whole.fit.blocks["numeric"], features.blocks["numeric"][:300])
    learner = make_learner(kind, 2, threads=1).learner
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
    again = make_learner(kind, 2, threads=1).learner
    again.fit(jobs[1:2])
    again.refit([0])
    np.testing.assert_allclose(again.predict_proba(features[300:], [0])[0], after[0], atol=1e-5)


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
    learner = make_learner(kind, 2, threads=1).learner
    learner.fit([first, first, first])
    learner.fit([second])
    alone = make_learner(kind, 2, threads=1).learner
    alone.fit([second])
    np.testing.assert_array_equal(learner.predict_proba(features[400:], [0]), alone.predict_proba(features[400:], [0]))


@each_learner
def test_a_class_without_fitted_rows_gets_a_small_probability_and_no_crash(config, blobs):
    features, labels = blobs
    kind = parse(config)
    draw = draw_of(features, labels, slice(0, 200))
    draw.validation_labels[0] = 2  # of three classes, none among the fitted rows
    learner = make_learner(kind, 3, threads=1).learner
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
    learner = make_learner(kind, 2, threads=1).learner
    pool = Pool(features, labels, None)
    choices, records, probabilities = tune_and_fit(learner, replicates, pool, kind.settings, BUDGET, features[400:])
    assert probabilities.shape == (3, 200, 2)
    for choice, record in zip(choices, records, strict=True):
        assert len(choice.losses) == 2
        # The second setting of each learner is crippled.
        assert (choice.index, choice.setting) == (0, kind.settings[0])
        assert choice.losses[0] < choice.losses[1]
        assert record.validation_loss == choice.losses[0]


@each_learner
def test_held_out_rows_do_not_touch_what_is_fitted_before_a_learner(config, blobs):
    """With other held-out numbers and categories, each encoder gives the same inputs."""
    features, labels = blobs
    kind = parse(config)
    draw = draw_of(features, labels, slice(0, 300))
    blocks = draw.validation.blocks
    far = tables(blocks["numeric"] * np.float32(1e6), blocks["categorical"] + 10)
    inputs = []
    for held, held_labels in ((draw.validation, draw.validation_labels), (far, 1 - draw.validation_labels)):
        learner: Any = make_learner(kind, 2, threads=1).learner
        learner.fit([Job(Draw(draw.fit, draw.fit_labels, held, held_labels), kind.settings[0], seed=0)])
        if kind.kind == "network":
            found = learner._encoders[0].encode(features).spelt_out()
        else:
            found = learner.matrix(learner.inputs(learner._fits[0].encoder, features))
        inputs.append(sparse.csr_matrix(found).toarray())
    np.testing.assert_array_equal(inputs[0], inputs[1])


@each_learner
def test_every_learner_learns_from_images(config):
    images, labels = edges(200, 12), np.arange(200) % 2
    kind = parse(config)
    learner = make_learner(kind, 2, threads=1).learner
    (record,) = learner.fit([Job(draw_of(images, labels, slice(0, 100)), kind.settings[0], seed=1)])
    assert record.validation_loss < 0.4
    found = learner.predict_proba(images[100:], [0])[0].argmax(axis=1)
    assert (found == labels[100:]).mean() > 0.9
