"""Rows of each kind as inputs: what is fitted on some rows alone, and what others then become."""

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.preprocessing import OneHotEncoder, RobustScaler

from stages.common.errors import InputError
from stages.common.features import Features, tables
from stages.prepare.sources.words import letters_of
from stages.train.inputs.columns import Table
from stages.train.inputs.engineered import Crossed, _information
from stages.train.inputs.forms import BAG_LENGTH
from stages.train.inputs.images import Gradients
from stages.train.inputs.signals import AsNumbers, OneScale
from stages.train.inputs.words import Letters, Ngrams
from tests.learners import edges, words_of


def test_encodings_are_those_of_scikit_learn(blobs):
    features, _ = blobs
    fit, new = features[:400], features[400:]
    encoder, numbers, codes = Table(fit), new.blocks["numeric"], new.blocks["categorical"]
    scaled = RobustScaler(unit_variance=True).fit(fit.blocks["numeric"]).transform(numbers)
    bent = scaled / np.sqrt(1 + (scaled / 3) ** 2)
    words = OneHotEncoder(sparse_output=False).fit(fit.blocks["categorical"]).transform(codes)
    encoded = encoder.encode(new).spelt_out()
    assert encoded.dtype == np.float32
    assert encoded.shape == (200, 2 + 1 + 4 + 1)  # numbers, one indicator of missing, categories, rare or unseen
    np.testing.assert_allclose(encoded[:, :2], np.nan_to_num(bent), atol=1e-5)
    np.testing.assert_array_equal(encoded[:, 2], np.isnan(numbers[:, 1]))
    np.testing.assert_array_equal(encoded[:, 3:7], words)
    assert not encoded[:, 7].any()
    np.testing.assert_array_equal(encoder.plain(new).ordered(), np.hstack([numbers, codes]))


def test_encoders_know_only_the_rows_they_were_fitted_on():
    numbers = np.array([[1.0], [3.0], [np.nan], [2.0]] * 3, np.float32)
    encoder = Table(tables(numbers, np.array([[0], [1], [1], [0]] * 3, np.int32)))
    unseen = tables(np.array([[2.0], [np.nan]], np.float32), np.array([[9], [1]], np.int32))
    # mean 2 of 1, 3, 2; columns: standardised number, indicator of missing, category 0, category 1, unseen
    np.testing.assert_allclose(encoder.encode(unseen).spelt_out(), [[0, 0, 0, 0, 1], [0, 1, 0, 1, 0]], atol=1e-6)
    np.testing.assert_array_equal(encoder.plain(unseen).ordered(), [[2, 2], [np.nan, 1]])


def test_inputs_beyond_the_memory_are_refused(blobs, monkeypatch):
    monkeypatch.setattr("stages.common.provenance.memory", lambda: 4 * 10_000)
    features, _ = blobs
    with pytest.raises(InputError, match=r"600 rows of \d+ inputs need 0\.0 GB, a quarter of .*; drop columns of many"):
        Table(features).encode(features).spelt_out()


def test_rare_categories_share_the_entry_that_serves_unseen_ones():
    codes = np.array([[0]] * 10 + [[1]] * 2 + [[2]] + [[-1]] * 4)  # two rare ones; -1 is missing
    encoder = Table(tables(np.zeros((17, 1), np.float32), codes.astype(np.int32)))
    rows = tables(np.zeros((5, 1), np.float32), np.array([[0], [1], [2], [7], [-1]], np.int32))
    encoded = encoder.encode(rows).spelt_out()[:, 1:]
    np.testing.assert_array_equal(encoded, [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1], [1, 0, 0]])


def test_a_column_of_many_categories_keeps_the_most_frequent():
    codes = np.repeat(np.arange(400), np.r_[np.full(200, 3), np.full(200, 5)]).astype(np.int32)[:, None]
    encoder = Table(tables(categorical=codes))
    (vocabulary,) = encoder.categories.vocabularies
    assert len(vocabulary) == 254
    assert set(range(200, 400)) <= set(vocabulary)
    assert encoder.plain(tables(categorical=np.array([[399]], np.int32))).ordered().max() == 253


def test_a_constant_and_an_empty_column_are_harmless():
    numbers = np.stack([np.full(20, 7.0), np.full(20, np.nan)], axis=1).astype(np.float32)
    features = tables(numbers)
    np.testing.assert_array_equal(Table(features).encode(features).spelt_out(), np.tile([0, 0, 1], (20, 1)))


def test_an_outlier_neither_sets_the_scale_of_a_network_s_inputs_nor_leaves_it():
    numbers = np.random.default_rng(0).normal(5, 2, (1000, 3)).astype(np.float32)
    numbers[:, 1] = np.arange(1000) < 100  # quartiles that are equal
    numbers[3, 2] = np.nan
    plain = Table(tables(numbers)).encode(tables(numbers)).spelt_out()
    spoiled = numbers.copy()
    spoiled[0, 0] = 1e9
    X = Table(tables(spoiled)).encode(tables(spoiled)).spelt_out()
    np.testing.assert_allclose(X[1:], plain[1:], atol=0.02)
    assert X[0, 0] == pytest.approx(3, abs=1e-3)
    assert np.median(X[:, 0]) == pytest.approx(0, abs=1e-2)
    middle = np.abs(numbers[:, 0] - 5) < 1
    np.testing.assert_allclose(plain[middle, 0], (numbers[middle, 0] - np.median(numbers[:, 0])) / 2, atol=0.06)
    assert np.isfinite(X).all()
    assert X[3, 2] == 0
    assert X[:, 1].std() == pytest.approx(0.7, abs=0.1)


def test_the_information_of_a_column_is_what_entropies_say_less_its_bias():
    rng = np.random.default_rng(0)
    levels, labels = rng.integers(6, size=500), rng.integers(3, size=500)
    of_levels, of_labels, of_both = (stats.entropy(np.bincount(of)) for of in (levels, labels, 3 * levels + labels))
    assert _information(levels, labels) == pytest.approx(of_levels + of_labels - of_both - 5 * 2 / 1000)
    assert abs(_information(levels, labels)) < 0.01 < _information(labels, labels)


def test_pixels_share_one_mean_and_deviation_and_are_no_categories():
    images, pixels = edges(), edges().blocks["pixels"]
    encoder = OneScale(images)
    X = encoder.encode(images).spelt_out()
    assert X.shape == (20, 256)
    assert X.mean() == pytest.approx(0, abs=1e-4)
    assert X.std() == pytest.approx(1, abs=1e-4)
    brighter = Features("images", {"pixels": pixels + np.uint8(50)})
    np.testing.assert_allclose(encoder.encode(brighter).spelt_out() - X, 50 / pixels.std(), rtol=1e-4)
    plain = encoder.plain(images)
    np.testing.assert_array_equal(plain.ordered(), pixels.reshape(20, 256))
    assert plain.is_categorical.tolist() == [False] * 256


def test_gradient_histograms_see_the_direction_of_edges_and_not_their_brightness():
    def histograms(pixels: np.ndarray) -> np.ndarray:
        return Gradients().encode(Features("images", {"pixels": pixels})).spelt_out()

    pixels = edges().blocks["pixels"]
    X = histograms(pixels)
    assert X.shape == (20, 9 * 4 * 9)  # 3 x 3 blocks of 2 x 2 cells of 9 directions
    upright, flat = X[::2].mean(axis=0), X[1::2].mean(axis=0)
    assert upright.reshape(-1, 9).mean(axis=0).argmax() == 0
    assert flat.reshape(-1, 9).mean(axis=0).argmax() == 4
    np.testing.assert_allclose(histograms(pixels // 2).mean(axis=0), X.mean(axis=0), atol=0.3)
    with pytest.raises(InputError, match="8 x 8 pixels or more, not 7 x 7"):
        histograms(pixels[:, :7, :7])


def test_a_signal_has_one_mean_and_deviation_and_keeps_its_peaks():
    values = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    values[0, 0] = 40.0
    features = Features("signals", {"values": values})
    encoder = OneScale(features)
    scaled = encoder.encode(features).spelt_out()
    np.testing.assert_allclose(scaled, (values - values.mean()) / values.std(), rtol=1e-4)
    plain = encoder.plain(features)
    np.testing.assert_array_equal(plain.ordered(), values)
    assert plain.is_categorical.tolist() == [False] * 5


def test_a_signal_is_engineered_as_the_numbers_of_a_table_are():
    values = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    values[0, 0] = 40.0
    labels = (values[:, 0] > 0).astype(np.int64)
    signals = Features("signals", {"values": values})
    engineered = sparse.csr_matrix(AsNumbers(signals, labels).encode(signals).matrix())
    as_numbers = sparse.csr_matrix(Crossed(tables(values), labels).encode(tables(values)).matrix())
    np.testing.assert_array_equal(engineered.toarray(), as_numbers.toarray())


def test_letters_as_a_sparse_matrix_are_the_dense_one_hot():
    words, _ = words_of(300)
    inputs = Letters(words[:200]).encode(words)
    np.testing.assert_array_equal(inputs.without_zeros().toarray(), inputs.spelt_out())


def test_every_word_has_ngrams_of_one_length():
    words, _ = words_of(50)
    X = sparse.csr_matrix(Ngrams().encode(words).matrix())
    np.testing.assert_allclose(np.sqrt(X.multiply(X).sum(axis=1)), BAG_LENGTH, rtol=1e-5)
    assert X.nnz / 50 > 5


def test_the_same_ngrams_and_only_those_share_a_bucket():
    def of(word: str) -> set[str]:
        text = f"^{word}$"
        return {text[i : i + n] for n in (1, 2, 3, 4) for i in range(len(text) - n + 1)}

    def buckets(word: str) -> set[int]:
        bags = Ngrams().encode(Features("words", {"letters": letters_of([word])})).bags
        assert bags is not None
        return set(bags.codes.tolist())

    names = ["house", "houses", "haus", "maison", "\u0142\u00f3d\u017a", "x" * 24]
    for first in names:
        for second in names:
            assert len(buckets(first) & buckets(second)) == len(of(first) & of(second))
