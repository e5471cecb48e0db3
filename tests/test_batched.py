"""The batched network against the same networks one by one, and its optimizer against torch's."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn.functional import gelu

from stages.common.artefacts import Features
from stages.prepare.words import letters_of
from stages.train import params
from stages.train.adamw import SCALE_RATE, BatchedAdamW
from stages.train.batched import Bags, BatchedNetwork, Dropout, Inputs, Shape, of_models
from stages.train.blocks import NetworkEncoder, bags_of, blocks_of, places_of
from stages.train.encoders import Encoder
from stages.train.fits import Draw, Job
from stages.train.networks import NetworkLearner
from stages.train.ngrams import N_BUCKETS, marked
from stages.train.training import Averages, Hardware, IndexBatches, with_temperature


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


class Scales(nn.Module):
    def __init__(self, n_inputs: int):
        super().__init__()
        self.scales = nn.Parameter(torch.ones(n_inputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scales


def one_by_one(network: BatchedNetwork, m: int) -> nn.Sequential:
    """Model m as torch's own layers with the same weights, on inputs that are joined already."""
    layers: list[nn.Module] = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[2])
        linear.weight.data, linear.bias.data = weight[m].detach().T.clone(), bias[m, 0].detach().clone()
        layers += [linear, nn.GELU()]
    return nn.Sequential(*layers[:-1])


def test_the_batched_forward_pass_is_that_of_each_network():
    network = BatchedNetwork(Shape(5, 7, 2, 3), seeds=[1, 2, 3])
    x = torch.randn(3, 11, 5)
    logits = network(Inputs(x))
    assert logits.shape == (3, 11, 3)
    for m in range(3):
        torch.testing.assert_close(logits[m], one_by_one(network, m)(x[m]))
    torch.testing.assert_close(network(Inputs(x[[2, 0]]), models=[2, 0]), logits[[2, 0]])


def test_parameters_and_multiplications_are_those_of_one_network():
    network = BatchedNetwork(Shape(5, 7, 2, 3), seeds=[1, 2])
    single = one_by_one(network, 0)
    assert network.n_parameters_each() == 5 + sum(p.numel() for p in single.parameters())  # a scale for each input
    assert network.multiplications_each() == 5 * 7 + 7 * 7 + 7 * 3


def test_initial_weights_depend_on_their_own_seed_alone():
    shape = Shape(5, 7, 1, 2, n_embedded=3, frequencies=4, dimensions=2)
    both, alone = BatchedNetwork(shape, [1, 2], [0.1, 2.0]), BatchedNetwork(shape, [2], [2.0])
    for together, single in zip(both.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(together[1], single[0], rtol=0, atol=0)
        is_constant = together.unique().numel() == 1  # biases and scales
        assert is_constant or not torch.equal(together[0], together[1])


def test_training_steps_are_those_of_torch_adamw_with_each_models_own_rates():
    rates, decays = [0.01, 0.003], [0.1, 0.5]
    network = BatchedNetwork(Shape(4, 6, 2, 3), seeds=[1, 2])
    singles = [nn.Sequential(Scales(4), *one_by_one(network, m)) for m in range(2)]
    batched = BatchedAdamW(network, torch.tensor(rates), torch.tensor(decays))
    schedule = torch.optim.lr_scheduler.LambdaLR(batched, lambda step: 1 / (1 + step))
    oracles, oracle_schedules = [], []
    for single, rate, decay in zip(singles, rates, decays, strict=True):
        weights = [p for p in single.parameters() if p.ndim == 2]
        scales, *biases = [p for p in single.parameters() if p.ndim == 1]
        oracle = torch.optim.AdamW(
            [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0},
             {"params": [scales], "weight_decay": 0, "lr": SCALE_RATE * rate}], rate
        )  # fmt: skip
        oracles.append(oracle)
        oracle_schedules.append(torch.optim.lr_scheduler.LambdaLR(oracle, lambda step: 1 / (1 + step)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x = torch.randn(2, 16, 4, generator=generator)
        y = torch.randint(3, (2, 16), generator=generator)
        batched.zero_grad()
        losses = nn.functional.cross_entropy(network(Inputs(x)).flatten(0, 1), y.flatten(), reduction="none")
        losses.view(2, 16).mean(1).sum().backward()
        batched.step()
        schedule.step()
        for m, (single, oracle, oracle_schedule) in enumerate(zip(singles, oracles, oracle_schedules, strict=True)):
            oracle.zero_grad()
            nn.functional.cross_entropy(single(x[m]), y[m]).backward()
            oracle.step()
            oracle_schedule.step()
    for m, single in enumerate(singles):
        torch.testing.assert_close(network.scales[0][m, 0], single[0].scales, rtol=1e-4, atol=1e-6)
        linears = [layer for layer in single if isinstance(layer, nn.Linear)]
        for linear, weight, bias in zip(linears, network.weights, network.biases, strict=True):
            torch.testing.assert_close(weight[m].T, linear.weight, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(bias[m, 0], linear.bias, rtol=1e-4, atol=1e-6)


def test_models_that_leave_harm_no_other():
    """After `keep` the steps of those that stay are those that they would have taken among all."""
    rates, decays = torch.tensor([0.01, 0.03, 0.02]), torch.tensor([0.1, 0.2, 0.3])
    shape = Shape(4, 6, 2, 3, n_embedded=2, frequencies=3, dimensions=2, n_buckets=N_BUCKETS)
    networks = [BatchedNetwork(shape, [1, 2, 3], [0.1, 0.5, 1.0]) for _ in range(2)]
    optimizers = [BatchedAdamW(network, rates, decays) for network in networks]
    generator = torch.Generator().manual_seed(0)
    stay = torch.tensor([0, 2])
    for step in range(6):
        if step == 3:
            optimizers[1].keep(stay, networks[1].n_models)
            networks[1].keep(stay)
        x, letters = torch.randn(3, 4, 4, generator=generator), words("ab", "abc", "hut", "zug").expand(3, -1, -1)
        for i, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
            chosen = stay if i and step >= 3 else torch.arange(3)
            optimizer.zero_grad()
            inputs = Inputs(x[chosen], bags_of(letters[chosen], EVERY.expand(len(chosen), -1)))
            network(inputs).square().sum().backward()
            optimizer.step()
    for all_three, left in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(of_models(all_three.data, 3, stay), left.data, rtol=1e-5, atol=1e-7)


def test_the_temperature_is_the_one_that_a_search_finds_and_rows_without_weight_do_not_count():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(2, 300, 4)) * 3)
    labels = torch.from_numpy(rng.integers(4, size=(2, 300)))
    is_sure = torch.from_numpy(rng.random((2, 300)) < 0.5)
    labels[is_sure] = logits.argmax(dim=2)[is_sure]
    n_rows = torch.tensor([300, 200])
    weights = (torch.arange(300) < n_rows[:, None]) / n_rows[:, None]
    losses, temperatures = with_temperature(logits, labels, weights)

    def penalised(log_temperature: float, m: int, n: int) -> float:
        scaled = logits[m, :n] / np.exp(log_temperature)
        loss = nn.functional.cross_entropy(scaled, labels[m, :n])
        return float(loss) + log_temperature**2 / (2 * n)

    for m, n in enumerate(n_rows.tolist()):
        found = minimize_scalar(penalised, bounds=(-3, 3), args=(m, n), method="bounded", options={"xatol": 1e-6})
        assert temperatures[m] == pytest.approx(np.exp(found.x), rel=1e-3)
        expected = nn.functional.cross_entropy(logits[m, :n] / float(temperatures[m]), labels[m, :n])
        assert losses[m] == pytest.approx(float(expected), rel=1e-5)


def test_a_temperature_stays_within_bounds_where_all_rows_are_right():
    logits = torch.eye(3).repeat(1, 5, 1)
    labels = torch.arange(3).repeat(5)[None]
    losses, temperatures = with_temperature(logits, labels, torch.full((1, 15), 1 / 15))
    assert 1 / 21 < float(temperatures[0]) < 0.5
    assert torch.isfinite(losses).all()


def test_an_epoch_shows_every_model_each_of_its_rows_in_its_own_order():
    batches = IndexBatches([100, 70], batch_size=32, seeds=[1, 2])
    seen = torch.cat(list(batches), dim=1)
    assert len(batches) == 12  # the least number of whole epochs of 4 steps of 32 that is 10 steps or more
    first, second, third = seen.split(128, dim=1)
    for epoch in (first, second, third):
        assert sorted(epoch[0, :100].tolist()) == list(range(100))
        assert sorted(epoch[1, :70].tolist()) == list(range(70))
        assert set(epoch[1].tolist()) == set(range(70))
    assert not torch.equal(first, second)


SETTING = params.NetworkSetting(
    learning_rate=0.01, weight_decay=0.1, dropout=0.2, label_smoothing=0.05, wave_deviation=0.1
)
CONFIG = params.Network(
    kind="network", features="raw", units=8, layers=2, frequencies=4, dimensions=3, 
    batch_size=32, epochs=5, min_steps=60, warmup=0.1, patience=99, settings=[SETTING],
)  # fmt: skip


HARDWARE = Hardware("cpu", "test", "32-true")  # bfloat16 would round both sides of a comparison differently


def make_job(features, labels, start: int, stop: int, seed: int, rate: float = 0.01, dropout: float = 0.2) -> Job:
    cut = stop - (stop - start) // 5
    draw = Draw(features[start:cut], labels[start:cut], features[cut:stop], labels[cut:stop])
    return Job(draw, SETTING.model_copy(update={"learning_rate": rate, "dropout": dropout}), seed)


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


def test_a_periodic_embedding_is_waves_mixed_beside_scaled_inputs():
    shape = Shape(3, 5, 1, 2, n_embedded=2, frequencies=400, dimensions=3)
    network = BatchedNetwork(shape, seeds=[1, 2], wave_deviations=[0.1, 2.0])
    np.testing.assert_allclose(network.waves[0].detach().std(dim=(1, 2)), [0.1, 2.0], rtol=0.1)
    network.scales[0].data = torch.rand(2, 1, 3)
    x = torch.randn(2, 6, 3)
    for m in range(2):
        parts = [x[m] * network.scales[0][m]]
        for j in range(2):
            waves = (2 * np.pi * x[m, :, j, None] * network.waves[0][m, j] + network.phases[0][m, j]).cos()
            parts.append(waves @ network.mixes[0][m, j] + network.mix_biases[0][m, j])
        expected = one_by_one(network, m)(torch.cat(parts, dim=1))
        torch.testing.assert_close(network(Inputs(x))[m], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(Inputs(x[[m]]), [m])[0], expected, rtol=1e-4, atol=1e-5)


def test_dropout_drops_each_models_share_and_keeps_the_mean():
    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    dropout = Dropout(torch.tensor([0.0, 0.4]), generators())
    x = torch.ones(2, 500, 100)
    dropped = dropout(x)
    assert torch.equal(dropped[0], x[0])
    assert (dropped[1] == 0).float().mean() == pytest.approx(0.4, abs=0.01)
    assert dropped[1].mean() == pytest.approx(1, abs=0.02)
    alone = Dropout(torch.tensor([0.4]), generators()[1:])
    torch.testing.assert_close(alone(x[1:])[0], dropped[1], rtol=0, atol=0)


def test_averaged_weights_are_those_of_polynomial_decay():
    """Shamir and Zhang 2013 with eta = 8: after step t the new weights count (eta + 1) / (t + eta)."""
    network = BatchedNetwork(Shape(1, 1, 1, 2), seeds=[1])
    averages = Averages(network)
    expected = 0.0
    for t, value in enumerate([3.0, -1.0, 4.0, 1.0, -5.0], start=1):
        with torch.no_grad():
            network.weights[0].fill_(value)
        averages.update()
        expected = value if t == 1 else expected + (value - expected) * 9 / (t + 8)
    with averages.in_place():
        assert float(network.weights[0].detach()) == pytest.approx(expected)
    assert float(network.weights[0].detach()) == -5.0


def words(*spelt: str) -> torch.Tensor:
    """(1, n_words, width) with the marks of start and end."""
    return torch.from_numpy(marked(letters_of(list(spelt))).astype(np.int32))[None]


EVERY = torch.arange(N_BUCKETS, dtype=torch.int32)[None]  # a place for every bucket


def bags(*spelt: str) -> Bags:
    return bags_of(words(*spelt), EVERY)


def on_ngrams(*seeds: int, units: int = 6, layers: int = 2, n_inputs: int = 2) -> BatchedNetwork:
    return BatchedNetwork(Shape(n_inputs, units, layers, 3, n_buckets=N_BUCKETS), seeds)


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
    both, alone = on_ngrams(1, 2), on_ngrams(2)
    x, letters = torch.randn(2, 4, 2), words("ab", "abc", "hut", "zug").expand(2, -1, -1)
    together = both(Inputs(x, bags_of(letters, EVERY.expand(2, -1))))
    single = alone(Inputs(x[1:], bags_of(letters[1:], EVERY)))
    torch.testing.assert_close(together[1], single[0])
    torch.testing.assert_close(both(Inputs(x[1:], bags_of(letters[1:], EVERY)), [1])[0], single[0])
    total = sum(alone.vectors[0][code] for code in bags("hut").codes)
    n = len(bags("hut").codes)
    hidden = gelu(x[1, 2] @ alone.weights[0][0] + alone.biases[0][0, 0] + total / n**0.5)
    hidden = gelu(hidden @ alone.weights[1][0] + alone.biases[1][0, 0])
    torch.testing.assert_close(single[0, 2], hidden @ alone.weights[2][0] + alone.biases[2][0, 0])


def test_vectors_of_buckets_take_the_steps_of_torch_sparse_adam():
    network, oracle = (on_ngrams(3, units=4, layers=1, n_inputs=1) for _ in range(2))
    ours = BatchedAdamW(network, torch.tensor([0.01]), torch.tensor([0.5]))
    theirs = torch.optim.SparseAdam(list(oracle.vectors), lr=0.01)
    frozen = [[*net.weights, *net.biases, *net.scales] for net in (network, oracle)]
    for parts in (("ab", "abc"), ("hut", "zug"), ("ab", "zug")):
        for net, optimizer in ((network, ours), (oracle, theirs)):
            optimizer.zero_grad()
            net(Inputs(torch.zeros(1, 2, 1), bags(*parts))).square().sum().mul(1000).backward()  # eps differs
            optimizer.step()
        with torch.no_grad():  # the rest moves in ours alone: keep it equal
            for mine, other in zip(*frozen, strict=True):
                mine.copy_(other)
    torch.testing.assert_close(network.vectors[0], oracle.vectors[0], rtol=1e-4, atol=1e-6)


def test_only_ngrams_of_fitted_words_have_a_vector():
    encoder = NetworkEncoder(Features(letters=letters_of(["ab"])), CONFIG.model_copy(update={"features": "engineered"}))
    fitted = blocks_of([encoder], [(Features(letters=letters_of(["ab"])), np.zeros(1, np.int64))])
    places = places_of(fitted)
    n_seen = len(set(bags("ab").codes.tolist()))
    assert sorted(places[places >= 0].tolist()) == list(range(n_seen))
    held = blocks_of([encoder], [(Features(letters=letters_of(["ab", "zug"])), np.zeros(2, np.int64))])
    found = held.with_places(places).inputs(torch.tensor([0]), slice(None)).bags
    assert found is not None
    assert found.n_each.tolist() == [len(bags("ab").codes), 2]  # the two marks


def test_batches_of_draws_that_differ_are_their_one_hot_inputs():
    generator = np.random.default_rng(0)
    numbers, codes = generator.normal(size=(40, 2)).astype(np.float32), generator.integers(0, 4, (40, 2), np.int32)
    gaps = np.where(generator.random((40, 2)) < 0.3, np.float32(np.nan), numbers)
    draws = [Features(numbers[:30], codes[:30] % 2), Features(gaps, codes)]  # inputs: 2 + 3 + 3, 2 + 2 + 5 + 5
    encoders = [NetworkEncoder(draw, CONFIG) for draw in draws]
    block = blocks_of(encoders, [(draw, np.zeros(len(draw), np.int64)) for draw in draws])
    rows = torch.stack([torch.randperm(30), torch.randperm(30) + 10])
    X = block.inputs(torch.tensor([[0], [1]]), rows).X.numpy()
    assert X.shape == (2, 30, 14)
    for draw, n_inputs in enumerate((8, 14)):
        expected = Encoder(draws[draw]).one_hot(draws[draw][rows[draw].numpy()])
        np.testing.assert_array_equal(X[draw], np.pad(expected, ((0, 0), (0, 14 - n_inputs))))
