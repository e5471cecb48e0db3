"""The batched network against the same networks one by one, and its optimizer against torch's."""

import numpy as np
import pytest
import torch
from torch import nn

from stages.prepare.words import letters_of
from stages.train import params
from stages.train.batched import Bags, BatchedAdamW, BatchedMLP
from stages.train.fits import Draw, Job
from stages.train.networks import Hardware, IndexBatches, NetworkLearner, bags_of
from stages.train.ngrams import N_BUCKETS, marked


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def one_by_one(network: BatchedMLP, m: int) -> nn.Sequential:
    """Model m as torch's own layers with the same weights."""
    layers: list[nn.Module] = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data, linear.bias.data = weight[m].detach().T.clone(), bias[m, 0].detach().clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_the_batched_forward_pass_is_that_of_each_network():
    network = BatchedMLP(5, 7, 2, 3, seeds=[1, 2, 3])
    x = torch.randn(3, 11, 5)
    logits = network(x)
    assert logits.shape == (3, 11, 3)
    for m in range(3):
        torch.testing.assert_close(logits[m], one_by_one(network, m)(x[m]))
    torch.testing.assert_close(network(x[[2, 0]], models=[2, 0]), logits[[2, 0]])


def test_parameters_and_multiplications_are_those_of_one_network():
    network = BatchedMLP(5, 7, 2, 3, seeds=[1, 2])
    single = one_by_one(network, 0)
    assert network.n_parameters_each() == sum(p.numel() for p in single.parameters())
    assert network.multiplications_each() == 5 * 7 + 7 * 7 + 7 * 3


def test_initial_weights_depend_on_their_own_seed_alone():
    both, alone = BatchedMLP(5, 7, 1, 2, seeds=[1, 2]), BatchedMLP(5, 7, 1, 2, seeds=[2])
    for together, single in zip(both.weights, alone.weights, strict=True):
        torch.testing.assert_close(together[1], single[0], rtol=0, atol=0)
        assert not torch.equal(together[0], together[1])


def test_training_steps_are_those_of_torch_adamw_with_each_models_own_rates():
    rates, decays = [0.01, 0.003], [0.1, 0.5]
    network = BatchedMLP(4, 6, 2, 3, seeds=[1, 2])
    singles = [one_by_one(network, m) for m in range(2)]
    batched = BatchedAdamW(network, torch.tensor(rates), torch.tensor(decays))
    schedule = torch.optim.lr_scheduler.LambdaLR(batched, lambda step: 1 / (1 + step))
    oracles, oracle_schedules = [], []
    for single, rate, decay in zip(singles, rates, decays, strict=True):
        weights = [p for p in single.parameters() if p.ndim == 2]
        biases = [p for p in single.parameters() if p.ndim == 1]
        oracle = torch.optim.AdamW(
            [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0}], rate
        )
        oracles.append(oracle)
        oracle_schedules.append(torch.optim.lr_scheduler.LambdaLR(oracle, lambda step: 1 / (1 + step)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x = torch.randn(2, 16, 4, generator=generator)
        y = torch.randint(3, (2, 16), generator=generator)
        batched.zero_grad()
        losses = (
            nn.functional.cross_entropy(network(x).flatten(0, 1), y.flatten(), reduction="none").view(2, 16).mean(1)
        )
        losses.sum().backward()
        batched.step()
        schedule.step()
        for m, (single, oracle, oracle_schedule) in enumerate(zip(singles, oracles, oracle_schedules, strict=True)):
            oracle.zero_grad()
            nn.functional.cross_entropy(single(x[m]), y[m]).backward()
            oracle.step()
            oracle_schedule.step()
    for m, single in enumerate(singles):
        linears = [layer for layer in single if isinstance(layer, nn.Linear)]
        for linear, weight, bias in zip(linears, network.weights, network.biases, strict=True):
            torch.testing.assert_close(weight[m].T, linear.weight, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(bias[m, 0], linear.bias, rtol=1e-4, atol=1e-6)


def test_an_epoch_shows_every_model_each_of_its_rows_in_its_own_order():
    batches = IndexBatches([100, 70], batch_size=32, seeds=[1, 2])
    first, second = (torch.cat(list(batches), dim=1) for _ in range(2))
    assert first.shape == (2, 128)  # 4 steps of 32
    assert len(batches) == 4
    for epoch in (first, second):
        assert sorted(epoch[0, :100].tolist()) == list(range(100))
        assert sorted(epoch[1, :70].tolist()) == list(range(70))
        assert set(epoch[1].tolist()) == set(range(70))
    assert not torch.equal(first, second)


CONFIG = params.Network(
    kind="network", features="raw", units=8, layers=2, batch_size=32, epochs=5, min_steps=60, warmup=0.1, patience=99,
    settings=[params.NetworkSetting(learning_rate=0.01, weight_decay=0.1)],
)  # fmt: skip


HARDWARE = Hardware("cpu", "test", "32-true")  # bfloat16 would round both sides of a comparison differently


def make_job(features, labels, start: int, stop: int, seed: int, rate: float = 0.01) -> Job:
    cut = stop - (stop - start) // 5
    draw = Draw(features[start:cut], labels[start:cut], features[cut:stop], labels[cut:stop])
    return Job(draw, params.NetworkSetting(learning_rate=rate, weight_decay=0.1), seed)


def test_a_network_trained_among_others_is_the_one_trained_alone(blobs):
    features, labels = blobs
    jobs = [make_job(features, labels, 0, 200, seed=1), make_job(features, labels, 200, 400, seed=2, rate=0.02)]
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
    early = make_job(features, labels, 0, 200, seed=1, rate=0.1)
    slow = make_job(features, labels, 200, 400, seed=2, rate=0.0003)
    together, alone = NetworkLearner(config, 2, HARDWARE), NetworkLearner(config, 2, HARDWARE)
    records = together.fit([early, slow])
    assert records[0].epochs < records[1].epochs
    (record,) = alone.fit([early])
    assert record.epochs == records[0].epochs
    assert record.validation_loss == pytest.approx(records[0].validation_loss, abs=1e-4)


def test_no_network_keeps_the_weights_of_its_warm_up(blobs):
    features, labels = blobs
    noise = np.random.default_rng(0).permutation(labels)  # nothing to learn: held-out loss is lowest at the start
    config = CONFIG.model_copy(update={"patience": 1, "min_steps": 100, "warmup": 0.5})
    (record,) = NetworkLearner(config, 2, HARDWARE).fit([make_job(features, noise, 0, 200, seed=1)])
    epochs_of_warmup = 10  # of 20, each of 5 steps of 32 rows
    assert record.epochs >= epochs_of_warmup + 1


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


def words(*spelt: str) -> torch.Tensor:
    """(1, n_words, width) with the marks of start and end."""
    return torch.from_numpy(marked(letters_of(list(spelt))).astype(np.int32))[None]


def bags(*spelt: str) -> Bags:
    found = bags_of(words(*spelt))
    assert found is not None
    return found


def test_the_same_ngrams_and_only_those_share_a_bucket():
    def of(word: str) -> set[str]:
        text = f"^{word}$"
        return {text[i : i + n] for n in (1, 2, 3, 4) for i in range(len(text) - n + 1)}

    names = ["house", "houses", "haus", "maison", "\u0142\u00f3d\u017a", "x" * 24]
    for first in names:
        for second in names:
            buckets = [set(bags(word).codes.tolist()) for word in (first, second)]
            assert len(buckets[0] & buckets[1]) == len(of(first) & of(second))


def test_a_batched_network_on_ngrams_is_its_models_one_by_one():
    torch.manual_seed(0)
    both = BatchedMLP(2, 6, 2, 3, seeds=[1, 2], n_buckets=N_BUCKETS)
    alone = BatchedMLP(2, 6, 2, 3, seeds=[2], n_buckets=N_BUCKETS)
    x, letters = torch.randn(2, 4, 2), words("ab", "abc", "hut", "zug").expand(2, -1, -1)
    together, single = both(x, bags_of(letters)), alone(x[1:], bags_of(letters[1:]))
    torch.testing.assert_close(together[1], single[0])
    torch.testing.assert_close(both(x[1:], bags_of(letters[1:]), [1])[0], single[0])
    total = sum(alone.vectors[0][code] for code in bags("hut").codes)
    n = len(bags("hut").codes)
    hidden = torch.relu(x[1, 2] @ alone.weights[0][0] + alone.biases[0][0, 0] + total / n**0.5)
    hidden = torch.relu(hidden @ alone.weights[1][0] + alone.biases[1][0, 0])
    torch.testing.assert_close(single[0, 2], hidden @ alone.weights[2][0] + alone.biases[2][0, 0])


def test_vectors_of_buckets_take_the_steps_of_torch_sparse_adam():
    network, oracle = (BatchedMLP(1, 4, 1, 3, seeds=[3], n_buckets=N_BUCKETS) for _ in range(2))
    ours = BatchedAdamW(network, torch.tensor([0.01]), torch.tensor([0.5]))
    theirs = torch.optim.SparseAdam(list(oracle.vectors), lr=0.01)
    frozen = [list(net.weights) + list(net.biases) for net in (network, oracle)]
    for parts in (("ab", "abc"), ("hut", "zug"), ("ab", "zug")):
        for net, optimizer in ((network, ours), (oracle, theirs)):
            optimizer.zero_grad()
            net(torch.zeros(1, 2, 1), bags(*parts)).square().sum().backward()
            optimizer.step()
        with torch.no_grad():  # the rest moves in ours alone: keep it equal
            for mine, other in zip(*frozen, strict=True):
                mine.copy_(other)
    torch.testing.assert_close(network.vectors[0], oracle.vectors[0], rtol=1e-4, atol=1e-6)


def test_ngrams_that_no_fitted_word_has_say_nothing():
    network = BatchedMLP(1, 4, 1, 3, seeds=[3], n_buckets=N_BUCKETS)
    seen = torch.zeros(N_BUCKETS, dtype=torch.bool)
    seen[bags("ab").codes] = True
    network.forget(0, torch.nonzero(~seen)[:, 0])
    assert int((network.vectors[0] != 0).any(dim=1).sum()) == len(set(bags("ab").codes.tolist()))
