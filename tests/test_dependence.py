"""Rows that go together are told of, and independent ones are not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.prepare.dependence import told_of_dependence
from stages.prepare.sources.table import load
from tests.test_table import source

N_ROWS = 1200


def written(path, seed: int, of_group: float = 0.0, of_week: float = 0.0, **columns: object):
    """A table whose rows may have effects of 50 groups, named in no order, or of the weeks of two years."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N_ROWS, 3))
    group, colour = rng.integers(50, size=N_ROWS), rng.integers(6, size=N_ROWS)
    age, day = rng.integers(18, 80, size=N_ROWS), np.sort(rng.integers(0, 700, size=N_ROWS))
    logit = x[:, 0] + np.sin(2 * x[:, 1]) + rng.normal(size=6)[colour] + ((age - 50) / 20) ** 2 + day / 700
    logit += of_group * rng.normal(size=50)[group] + of_week * rng.normal(size=101)[day // 7]
    frame = pd.DataFrame(
        {f"x{i}": x[:, i] for i in range(3)}
        | {"who": [f"p{g:02}" for g in group], "number": group * 7 % 50, "colour": [f"c{c}" for c in colour]}
        | {"age": age, "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(day, unit="D")}
        | {"y": np.where(logit + rng.logistic(size=N_ROWS) > 1, "yes", "no")}
    )
    frame.drop(columns=columns.get("without", [])).to_csv(path, index=False)
    return load(source(path, n_rows=N_ROWS))


def told(table) -> list[str]:
    return told_of_dependence(table, np.arange(N_ROWS), seed=0)


@pytest.mark.parametrize("name", ["who", "number"])
def test_rows_of_groups_go_together_by_the_column_that_names_them(name, tmp_path):
    table = written(tmp_path / "t.csv", 0, of_group=1.0, without=["who" if name == "number" else "number"])
    (warning,) = told(table)
    assert warning.startswith(f"rows go together by the 50 values of '{name}': those of one have ")
    assert f"split by it, `python -m stages.compose --group {name}`; " in warning


def test_rows_of_weeks_go_together_by_their_date(tmp_path):
    (warning,) = told(written(tmp_path / "t.csv", 0, of_week=1.0))
    assert warning.startswith("rows go together by the 30 stretches of time by 'day'")
    assert "split by it, `python -m stages.compose --time day`; " in warning


def test_independent_rows_seldom_raise_an_alarm(tmp_path):
    """A trend, a category and a bent effect of a number among what is to be learned."""
    alarms = [warning for seed in range(12) for warning in told(written(tmp_path / "t.csv", 100 + seed))]
    assert len(alarms) <= 2, alarms  # of 12 tables; with a rate of .05 more have probability .02


def test_groups_of_few_values_are_seen_where_they_stand_together_or_decide_a_column(tmp_path):
    rng = np.random.default_rng(1)
    for together in (True, False):
        group = rng.integers(12, size=N_ROWS)
        group = np.sort(group) if together else group
        x = rng.normal(size=N_ROWS)
        is_yes = x + 1.2 * rng.normal(size=12)[group] + rng.logistic(size=N_ROWS) > 0
        frame = pd.DataFrame({"x": x, "site": [f"s{g}" for g in group], "y": np.where(is_yes, "yes", "no")})
        if not together:
            frame["beds"] = rng.permutation(12).repeat(1)[group] // 2
        frame.to_csv(tmp_path / "t.csv", index=False)
        (warning,) = told(load(source(tmp_path / "t.csv", n_rows=N_ROWS)))
        assert "12 values of 'site'" in warning


def of_noise(rng: np.random.Generator, kind: str) -> pd.DataFrame:
    """Labels that depend on nothing."""
    n = N_ROWS
    match kind:
        case "one category":
            columns: dict[str, Any] = {"c": [f"c{i}" for i in rng.integers(30, size=n)]}
        case "sorted ids":
            columns = {"b": np.arange(n) // 5}
        case "a date":
            day = np.sort(rng.integers(0, 700, size=n))
            columns = {"x": rng.normal(size=n), "d": pd.Timestamp("2020-01-01") + pd.to_timedelta(day, unit="D")}
        case _:  # people with features of their own
            who = rng.integers(100, size=n)
            columns = {"who": [f"p{i}" for i in who]} | {f"u{i}": rng.normal(size=100)[who] for i in range(3)}
    return pd.DataFrame(columns | {"y": rng.choice(["no", "yes"], n)})


@pytest.mark.parametrize("kind", ["one category", "sorted ids", "a date", "people"])
def test_a_model_that_errs_alike_in_all_rows_of_a_value_is_no_evidence(kind, tmp_path):
    alarms = []
    for seed in range(6):
        of_noise(np.random.default_rng(seed), kind).to_csv(tmp_path / "t.csv", index=False)
        alarms += told(load(source(tmp_path / "t.csv", n_rows=N_ROWS)))
    assert len(alarms) <= 1, alarms


def test_large_groups_of_a_large_table_are_seen(tmp_path):
    rng, n = np.random.default_rng(2), 100_000
    site, x = rng.integers(20, size=n), rng.normal(size=n)
    is_yes = x + rng.normal(size=20)[site] + rng.logistic(size=n) > 0
    frame = pd.DataFrame({"x": x, "site": [f"s{i}" for i in site], "y": np.where(is_yes, "yes", "no")})
    frame.to_csv(tmp_path / "t.csv", index=False)
    (warning,) = told_of_dependence(load(source(tmp_path / "t.csv", n_rows=n)), np.arange(n), seed=0)
    assert "20 values of 'site'" in warning
