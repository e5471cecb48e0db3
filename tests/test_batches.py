"""The rows of all draws as tensors, and batches of them."""

import numpy as np
import pytest
import torch

from stages.common.features import tables
from stages.train.inputs import encoder_of
from stages.train.inputs.columns import Table
from stages.train.network.batches import IndexBatches, Vectors, block_of
from tests.networks import bags, spelt

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_only_ngrams_of_fitted_words_have_a_vector():
    encoder = encoder_of(spelt("ab"), np.zeros(1, np.int64), "engineered")
    vectors = Vectors.of([encoder.encode(spelt("ab"))])
    assert vectors is not None
    (places,) = vectors.places
    n_seen = len(set(bags("ab").codes.tolist()))
    assert sorted(places[places >= 0].tolist()) == list(range(n_seen))
    held = block_of([encoder.encode(spelt("ab", "zug"))], [np.zeros(2, np.int64)], vectors)
    found = held.batch(torch.tensor([0]), slice(None)).bags
    assert found is not None
    assert found.n_each.tolist() == [len(bags("ab").codes), 2]  # the two marks


def test_batches_of_draws_that_differ_are_their_one_hot_inputs():
    generator = np.random.default_rng(0)
    numbers, codes = generator.normal(size=(40, 2)).astype(np.float32), generator.integers(0, 4, (40, 2), np.int32)
    gaps = np.where(generator.random((40, 2)) < 0.3, np.float32(np.nan), numbers)
    draws = [tables(numbers[:30], codes[:30] % 2), tables(gaps, codes)]  # inputs: 2 + 3 + 3, 2 + 2 + 5 + 5
    inputs = [Table(draw).encode(draw) for draw in draws]
    block = block_of(inputs, [np.zeros(len(draw), np.int64) for draw in draws], None)
    rows = torch.stack([torch.randperm(30), torch.randperm(30) + 10])
    X = block.batch(torch.tensor([[0], [1]]), rows).X.numpy()
    assert X.shape == (2, 30, 14)
    for draw, n_inputs in enumerate((8, 14)):
        expected = Table(draws[draw]).encode(draws[draw][rows[draw].numpy()]).spelt_out()
        np.testing.assert_array_equal(X[draw], np.pad(expected, ((0, 0), (0, 14 - n_inputs))))
