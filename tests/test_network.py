"""Networks as a learner: many trained as one, each as if alone."""

import numpy as np
import pytest

from stages.common.errors import InputError
from stages.common.features import Features, tables
from stages.train import params
from stages.train.jobs import ON_CPU, Draw, Hardware, Job
from stages.train.learners import make_learner
from stages.train.learners.network import NetworkLearner
from stages.train.network.hardware import find_hardware
from tests.learners import NETWORK, draw_of, edges, parse, words_of

pytestmark = pytest.mark.usefixtures("one_thread")

SETTING = params.NetworkSetting(
    learning_rate=0.01, weight_decay=0.1, dropout=0.2, label_smoothing=0.05, wave_deviation=0.1
)

CONFIG = params.Network(
    kind="network", features="raw", units=8, layers=2, frequencies=4, dimensions=3,
    batch_size=32, epochs=5, min_steps=60, warmup=0.1, patience=99, settings=[SETTING],
)  # fmt: skip

HARDWARE = Hardware("cpu", "32-true", "test")  # bfloat16 would round both sides of a comparison differently


def make_job(features, labels, start: int, stop: int, seed: int, rate: float = 0.01, dropout: float = 0.2) -> Job:
    cut = stop - (stop - start) // 5
    draw = Draw(features[start:cut], labels[start:cut], features[cut:stop], labels[cut:stop])
    return Job(draw, SETTING.model_copy(update={"learning_rate": rate, "dropout": dropout}), seed)


def test_networks_train_on_the_cpu_where_that_is_asked_for(monkeypatch):
    """As a replay asks for cells that did. That a GPU is found by itself shows where there is one."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "a GPU")
    assert find_hardware() == Hardware("cuda", "bf16-mixed", "a GPU")
    assert find_hardware("32-true") == Hardware("cuda", "32-true", "a GPU")
    monkeypatch.setenv(ON_CPU, "1")
    assert (find_hardware().accelerator, find_hardware().precision) == ("cpu", "32-true")
    assert find_hardware("bf16-mixed").precision == "bf16-mixed"


def test_a_network_trained_among_others_is_the_one_trained_alone(blobs):
    features, labels = blobs
    jobs = [
        make_job(features, labels, 0, 200, seed=1),
        make_job(features, labels, 200, 400, seed=2, rate=0.02, dropout=0.1),
    ]
    together = NetworkLearner(CONFIG, 2, HARDWARE)
    records = together.fit(jobs)
    for m, job in enumerate(jobs):
        alone = NetworkLearner(CONFIG, 2, HARDWARE)
        (record,) = alone.fit([job])
        np.testing.assert_allclose(
            together.predict_proba(features[400:], [m]), alone.predict_proba(features[400:], [0]), atol=1e-4
        )
        assert records[m].validation_loss == pytest.approx(record.validation_loss, abs=1e-4)


def test_a_network_stops_on_its_own_patience_whatever_the_others_do(blobs):
    features, labels = blobs
    config = CONFIG.model_copy(update={"patience": 2, "min_steps": 400})
    # The first overfits early, the second is slow: it keeps the batch going.
    early = make_job(features, labels, 0, 200, seed=1, rate=0.01)
    slow = make_job(features, labels, 200, 400, seed=2, rate=0.00003)
    together, alone = NetworkLearner(config, 2, HARDWARE), NetworkLearner(config, 2, HARDWARE)
    records = together.fit([early, slow])
    assert records[0].epochs < records[1].epochs
    (record,) = alone.fit([early])
    assert record.epochs == records[0].epochs
    assert record.validation_loss == pytest.approx(records[0].validation_loss, abs=1e-4)


def test_after_a_quarter_only_the_best_setting_of_a_replicate_goes_on(blobs):
    features, labels = blobs
    config = CONFIG.model_copy(update={"patience": 1000, "min_steps": 200})
    good, slow = (make_job(features, labels, 0, 200, seed=1, rate=rate) for rate in (0.002, 1e-6))
    slow = Job(good.draw, slow.setting, slow.seed)
    alone = make_job(features, labels, 200, 400, seed=2, rate=1e-6)  # another replicate: no rival
    records = NetworkLearner(config, 2, HARDWARE).fit([good, slow, alone])
    assert [record.epochs for record in records] == [40, 10, 40]  # of 5 steps of 32 rows
    assert records[0].validation_loss < records[1].validation_loss


def test_no_network_is_narrower_than_there_are_classes(blobs):
    features, _ = blobs
    labels = np.random.default_rng(0).integers(12, size=600)
    for n_classes, units in ((12, 12), (2, 8)):
        learner = NetworkLearner(CONFIG.model_copy(update={"min_steps": 10}), n_classes, HARDWARE)
        (record,) = learner.fit([make_job(features, labels % n_classes, 0, 200, seed=1)])
        assert learner.predict_proba(features[:3], [0]).shape == (1, 3, n_classes)
        n_inputs = 2 + 1 + 5 + 2 * 3  # numbers, missing, categories, embedded
        n_weights = n_inputs * units + units * units + units * n_classes + 2 * units + n_classes
        n_waves = 2 * 4 * 2 + 2 * 4 * 3 + 2 * 3
        assert record.n_parameters == n_weights + n_waves + 2 + 1 + 5


def test_no_network_keeps_the_weights_of_its_warm_up(blobs):
    features, labels = blobs
    noise = np.random.default_rng(0).permutation(labels)  # nothing to learn: held-out loss is lowest at the start
    config = CONFIG.model_copy(update={"patience": 1, "min_steps": 100, "warmup": 0.5})
    (record,) = NetworkLearner(config, 2, HARDWARE).fit([make_job(features, noise, 0, 200, seed=1)])
    epochs_of_warmup = 10  # of 20, each of 5 steps of 32 rows
    assert record.epochs > epochs_of_warmup


def test_a_network_that_learned_nothing_is_marked(blobs):
    features, labels = blobs
    learner = NetworkLearner(CONFIG, 2, HARDWARE)
    (record,) = learner.fit([make_job(features, labels, 0, 200, seed=1, rate=1e-9)])
    assert record.status == "unconverged"
    assert "no better than the constant predictor" in record.reason


def test_a_diverged_network_is_recorded_and_harms_no_other(blobs):
    features, labels = blobs
    good, bad = make_job(features, labels, 0, 200, seed=1), make_job(features, labels, 0, 200, seed=1, rate=1e30)
    learner = NetworkLearner(CONFIG, 2, HARDWARE)
    records = learner.fit([good, bad])
    assert [record.status for record in records] == ["ok", "diverged"]
    assert records[1].reason
    assert np.isfinite(learner.predict_proba(features[400:], [0])).all()


def test_networks_of_ngrams_alone_leave_the_batch_like_others():
    words, labels = words_of(600)
    kind = parse(NETWORK | {"features": "engineered", "min_steps": 100})
    learner = make_learner(kind, 2, threads=1).learner
    draws = [draw_of(words, labels, rows) for rows in (slice(0, 150), slice(150, 300))]
    records = learner.fit([Job(draw, setting, seed=1) for draw in draws for setting in kind.settings])
    good, bad = records[::2], records[1::2]  # the second setting next to never moves and leaves after a quarter
    assert max(record.validation_loss for record in good) < min(record.validation_loss for record in bad)
    assert max(record.epochs for record in bad) < min(record.epochs for record in good)
    learner.refit([0, 2])
    lengths = 2 + (words.blocks["letters"][:120] != 0).sum(axis=1)  # with the marks of start and end
    n_ngrams = np.mean([sum(max(0, length - n) for n in range(4)) for length in lengths])
    multiplications = (n_ngrams + 2) * 8  # the vectors' sum, and the layer of 8 units and 2 outputs
    steps = 2 * records[0].epochs  # of 64 rows, of 120
    assert records[0].train_flops == pytest.approx(6 * steps * 64 * multiplications)
    for probabilities in learner.predict_proba(words[300:], [0, 1]):
        assert (probabilities.argmax(axis=1) == labels[300:]).mean() > 0.8


def test_a_network_learns_from_gradient_histograms_and_tables_have_none(blobs):
    images, halves = edges(200, 12), np.arange(200) % 2
    kind = parse(NETWORK | {"features": "engineered"})
    learner = make_learner(kind, 2, threads=1).learner
    learner.fit([Job(draw_of(images, halves, slice(0, 100)), kind.settings[0], seed=1)])
    learner.refit([0])
    assert (learner.predict_proba(images[100:], [0])[0].argmax(axis=1) == halves[100:]).mean() > 0.9
    features, labels = blobs
    with pytest.raises(InputError, match="no engineered features of tables"):
        learner.fit([Job(draw_of(features, labels, slice(0, 100)), kind.settings[0], seed=1)])


def test_numbers_of_a_table_have_waves_and_a_signal_has_none():
    values = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    labels = (values[:, 0] > 0).astype(np.int64)
    for features, n_embedded in ((tables(values), 5), (Features("signals", {"values": values}), 0)):
        learner = NetworkLearner(CONFIG.model_copy(update={"min_steps": 10}), 2, HARDWARE)
        learner.fit([make_job(features, labels, 0, 200, seed=1)])
        assert learner._network.shape.n_embedded == n_embedded
