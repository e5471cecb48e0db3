"""Subsets: nested, stratified, and indifferent to which sizes are asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.common import artefacts
from stages.common.errors import InputError
from stages.common.sampling import stratified_order
from stages.subsample.__main__ import main

SCALE = {"replicates": {"least": 4, "most": 4, "rows": 1}, "variance_size": 128, "n_crossed": 3, "tuning_rows": 64}


def cut(
    sizes: list[int], set_params: Callable[..., None], labels: np.ndarray, seed: int = 0, **of_scale: object
) -> dict[int, np.ndarray]:
    set_params(grid={"learners": [], "sizes": sizes}, scale=SCALE | of_scale, subsample={"seed": seed})
    artefacts.save_array(artefacts.PREPARED / "pool_labels.npy", labels)
    main()
    return {n: np.load(artefacts.subset_path(n)) for n in sizes}


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).choice(3, size=1000, p=[0.7, 0.25, 0.05]).astype(np.int64)


def test_smaller_subsets_are_prefixes_of_larger_ones(set_params, labels):
    subsets = cut([64, 128, 512], set_params, labels)
    assert subsets[64].shape == (4, 64)
    assert subsets[64].dtype == np.int64
    np.testing.assert_array_equal(subsets[512][:, :64], subsets[64])
    np.testing.assert_array_equal(subsets[512][:, :128], subsets[128])


def test_every_prefix_keeps_the_class_shares(labels):
    order = stratified_order(labels, np.random.default_rng(1))
    assert sorted(order) == list(range(len(labels)))
    shares = np.bincount(labels) / len(labels)
    for n in range(1, len(labels) + 1):
        assert (np.abs(np.bincount(labels[order[:n]], minlength=3) - n * shares) <= 2).all()


def test_subsets_have_identical_bytes_whatever_other_sizes_are_configured(set_params, labels):
    cut([64, 128], set_params, labels)
    before = artefacts.subset_path(64).read_bytes()
    cut([32, 64, 96, 700], set_params, labels)
    assert artefacts.subset_path(64).read_bytes() == before


def test_small_sizes_have_more_replicates_the_first_of_which_larger_ones_share(set_params, labels):
    more = {"least": 3, "most": 12, "rows": 1024}
    subsets = cut([64, 128, 256, 512], set_params, labels, replicates=more, tuning_rows=128)
    assert {n: len(subsets[n]) for n in subsets} == {64: 12, 128: 8, 256: 4, 512: 3}
    np.testing.assert_array_equal(subsets[64][:3], subsets[512][:, :64])
    assert len(artefacts.load_json(artefacts.pairs_path(64))) == 12
    tuning = np.load(artefacts.TUNING_ROWS)
    assert len(tuning) >= 4  # any size above 128 may be added
    before = artefacts.TUNING_ROWS.read_bytes()
    again = cut([128, 512], set_params, labels, replicates=more, tuning_rows=128)
    np.testing.assert_array_equal(again[128], subsets[128])
    assert artefacts.TUNING_ROWS.read_bytes() == before


@pytest.mark.parametrize(("sizes", "n_tuning"), [([32, 64], 0), ([32, 128], 64)])
def test_the_rows_to_tune_on_are_the_first_of_each_draw_where_a_size_is_above_them(sizes, n_tuning, set_params, labels):
    subsets = cut(sizes, set_params, labels)
    tuning = np.load(artefacts.TUNING_ROWS)
    assert tuning.shape == (4, n_tuning)
    np.testing.assert_array_equal(tuning, subsets[sizes[-1]][:, :n_tuning])


def test_replicates_and_seeds_draw_different_rows(set_params, labels):
    first = cut([200], set_params, labels)[200]
    assert len({tuple(sorted(rows)) for rows in first}) == 4
    other = cut([200], set_params, labels, seed=1)[200]
    assert not np.array_equal(first, other)


def test_at_the_variance_size_the_first_draws_and_initialisations_are_crossed(set_params, labels):
    cut([64, 128], set_params, labels)
    diagonal = [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert artefacts.load_json(artefacts.pairs_path(64)) == diagonal
    crossed = artefacts.load_json(artefacts.pairs_path(128))
    assert crossed[:4] == diagonal
    assert sorted(crossed) == sorted([[i, j] for i in range(3) for j in range(3)] + [[3, 3]])


def test_rows_within_a_class_are_drawn_uniformly():
    labels = np.array([0] * 30 + [1] * 10)
    counts = np.zeros(40)
    for seed in range(2000):
        counts[stratified_order(labels, np.random.default_rng(seed))[:20]] += 1
    # 20 of 40 rows: each is drawn with probability 1/2; 5 standard deviations of a binomial of 2000.
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(2000 / 4)


def test_a_size_above_the_pool_is_refused_with_the_maximum(set_params, labels, workspace: Path):
    with pytest.raises(InputError, match=r"n_train=2000 exceeds the pool of 1000 rows; lower scale\.sizes"):
        cut([64, 2000], set_params, labels)
    assert not artefacts.SUBSETS.exists()
