"""Rows without their labels, in memory and on disk."""

import numpy as np

from stages.common.features import take


def test_reading_rows_from_disk_gives_the_rows(tmp_path):
    array = np.arange(30_000, dtype=np.int32).reshape(10_000, 3)
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    rows = np.random.default_rng(0).permutation(10_000)[:5000]
    np.testing.assert_array_equal(take(mapped, rows), array[rows])
    np.testing.assert_array_equal(take(mapped, slice(3, 9)), array[3:9])
    np.testing.assert_array_equal(take(mapped, rows), array[rows])  # the pages come back
