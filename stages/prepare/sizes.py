"""Test rows and sizes of a study of the user's own data, from the number of its rows."""

from collections.abc import Mapping

from stages.common.artefacts import Json
from stages.common.errors import InputError

LEAST_OF_A_CLASS = 3
TEST_SHARE, MOST_TEST_ROWS = 0.25, 50_000


def test_rows(n_rows: int) -> int:
    return min(MOST_TEST_ROWS, int(TEST_SHARE * n_rows))


def sure_to_stay(copies: Mapping[int, int], n_held: int) -> int:
    """Rows of the pool that are all but sure to be left when n_held are the test and rows that repeat one are gone.

    copies: how many different rows stand m times, by m. A row that stands m times survives where none of its copies is
    drawn for the test; of the number of rows that do, the mean less four deviations.
    """
    n_rows = sum(m * n for m, n in copies.items())
    share = max(0.0, 1 - n_held / n_rows)
    mean = sum(m * n * share**m for m, n in copies.items())
    variance = sum(m * m * n * share**m * (1 - share**m) for m, n in copies.items() if m > 1)
    return round(mean - 4 * variance**0.5)


def sizes_up_to(n_pool: int, n_classes: int, path: str, rarest: float = 1.0) -> Json:
    """Sizes by doublings for each scale, and where draws and initialisations are crossed.

    They are the powers of two from a few labels a class up to the pool, the first of which holds LEAST_OF_A_CLASS of
    the rarest class in the mean; raises InputError where these are too few. rarest: share of the rows.
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
    doublings = [first << i for i in range(40) if first << i <= top]
    quick = [n for n in doublings if n <= 32_768][-6:]
    full = doublings[-12:]
    crossed = [n for n in full if n <= min(16_384, top // 4)]
    return {
        "sizes": {"smoke": quick[:2], "quick": quick, "full": full},
        "variance_size": {"smoke": quick[0], "quick": None, "full": crossed[-1] if crossed else full[0]},
    }
