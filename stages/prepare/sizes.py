"""Test rows and sizes of a study of the user's own data, from the number of its rows."""

import numpy as np

from stages.common.artefacts import Json
from stages.common.errors import InputError
from stages.prepare.params import Asked
from stages.prepare.tables import Table, check_classes, sides

LEAST_OF_A_CLASS = 3
QUICK_REACH = 32_768  # labels: as far as `quick` goes
TEST_SHARE, MOST_TEST_ROWS = 0.25, 50_000


def n_test_for(n_rows: int) -> int:
    return min(MOST_TEST_ROWS, int(TEST_SHARE * n_rows))


def study_of(table: Table, how: str, asked: Asked, path: str) -> Json:
    """n_test, n_pool, sizes and variance_size by scale: of the pool that `prepare` will make, by its own functions."""
    n_test = n_test_for(len(table.labels)) if asked.n_test is None else asked.n_test
    found = sides(table, how, n_test, asked.seed, asked.repeats)
    n_pool = len(found.pool)
    counts = np.bincount(table.labels)
    sizes = sizes_up_to(n_pool, len(counts), path, counts.min() / counts.sum())
    check_classes(table, found, how)
    return {"n_test": n_test, "n_pool": n_pool} | sizes


def sizes_up_to(n_pool: int, n_classes: int, path: str, rarest: float = 1.0) -> Json:
    """Sizes by doublings for each scale, and where draws and initialisations are crossed.

    They are the powers of two from a few labels a class up, the first of which holds LEAST_OF_A_CLASS of the rarest
    class in the mean, and last the pool itself where the scale reaches it, before which powers of two above 2 / 3 of it
    give way. Raises InputError where these are too few. rarest: share of the rows.
    """
    top = 1 << max(0, n_pool).bit_length() - 1 if n_pool > 0 else 0
    if top < 64:
        raise InputError(
            f"{path}: {max(0, n_pool)} distinct rows for training are too few for two sizes; bring 64 or more"
        )
    first = 32
    while first < 8 * n_classes and first < top // 8:
        first *= 2
    while first * rarest < LEAST_OF_A_CLASS and first < top // 2:
        first *= 2
    quick, full = _up_to(QUICK_REACH, first, n_pool)[-6:], _up_to(n_pool, first, n_pool)[-12:]
    crossed = [n for n in full if n <= min(16_384, top // 4)]
    return {
        "sizes": {"smoke": quick[:2], "quick": quick, "full": full},
        "variance_size": {"smoke": quick[0], "quick": quick[0], "full": crossed[-1] if crossed else full[0]},
    }


def _up_to(reach: int, first: int, n_pool: int) -> list[int]:
    """Powers of two, the first of them `first`, then the pool where it lies within reach."""
    is_reached = n_pool <= reach
    last = n_pool / 1.5 if is_reached else reach
    return [first << i for i in range(40) if first << i <= last] + [n_pool] * is_reached
