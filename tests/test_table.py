"""The user's own table: kinds found, bad data refused in one line, splits that hold."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml

from stages.common import artefacts
from stages.common.artefacts import PREPARED
from stages.common.errors import InputError
from stages.common.features import LAYOUT, load_features
from stages.compose import __main__ as composer
from stages.compose import checking, composing
from stages.prepare import __main__ as prepare
from stages.prepare.params import Asked, Source
from stages.prepare.sizes import sizes_up_to
from stages.prepare.sources.table import load, measure
from tests.conftest import asked_of

N = 400


def frame(**columns: object) -> pd.DataFrame:
    """400 rows with a number, a category and a target of two classes; with other columns besides or instead."""
    rng = np.random.default_rng(0)
    good = {"x": rng.normal(size=N), "colour": rng.choice(["red", "green"], N), "y": rng.choice(["no", "yes"], N)}
    return pd.DataFrame(good | columns)


def source(path: Path, **changes: object) -> Source:
    base: dict[str, object] = {
        "name": "table", "path": str(path), "target": "y", "group": None, "time": None, "split": "random", "seed": 0,
        "n_rows": N, "n_test": 100, "id": None, "side": None, "missing": [], "rare_classes": "refuse",
        "repeats": "auto",
    }  # fmt: skip
    return Source.model_validate(base | changes)


def asked(path: Path | str, **said: object) -> Asked:
    return asked_of("table", **{"path": str(path), "target": "y"} | said)


def csv_of(text: str | bytes) -> Callable[[Path], Path]:
    """Writes my.csv."""

    def write(folder: Path) -> Path:
        path = folder / "my.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def table_of(**columns: object) -> Callable[[Path], Path]:
    return csv_of(frame(**columns).to_csv(index=False))


def named(name: str) -> Callable[[Path], Path]:
    return lambda folder: folder / name


def written(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(b"anything")
        return folder / name

    return write


ROWS = frame().to_csv(index=False)
RARE = ["no"] * (N - 3) + ["yes"] * 3
BAD = {
    "missing file": (named("my.csv"), r"my\.csv' is no file; name a CSV or Parquet file"),
    "empty file": (csv_of(""), r"my\.csv is empty; bring a header and rows"),
    "only line breaks": (csv_of("\n\n"), r"one column only \(''\)"),
    "header only": (csv_of("x,colour,y\n"), r"has a header and no rows; at least 100 rows are needed"),
    "too few rows": (csv_of("x,y\n" + "1,a\n2,b\n" * 10), r"has 20 rows; at least 100"),
    "latin-1 in the header": (csv_of("caf\xe9,y\n1,a\n".encode("latin-1")), r"is not in UTF-8 \(byte 3\); save it in"),
    "latin-1 further down": (
        csv_of(ROWS.encode() + b"1," + b"gr\xfcn" * 30_000 + b",no\n"),
        r"line 402 is not in UTF-8; save it in UTF-8",
    ),
    "utf-16": (csv_of(ROWS.encode("utf-16")), r"is no text \(it holds zero bytes\); save it as CSV in UTF-8"),
    "unknown delimiter": (csv_of(ROWS.replace(",", "#")), r"has one column only \('x#colour#y'\); separate columns by"),
    "a row too long": (
        csv_of(ROWS + "1,red,no,more\n"),
        r"cannot be read: line 402 has 4 values, the first line 3; mend it",
    ),
    "target absent": (table_of(Y2=1), r"dataset\.target='y3' is no column of .*; did you mean '[yY]2?'\?"),
    "one class": (table_of(y="no"), r"the target 'y' of .* has one class only \('no'\); at least two"),
    "a class too rare": (table_of(y=RARE), r"class 'yes' has 3 rows; at least 10 are needed .*; merge or drop"),
    "a float target": (table_of(y=np.linspace(0, 1, N)), r"is a number with 400 distinct values; .*: bin it"),
    "a count as target": (table_of(y=np.arange(N)), r"is a number with 400 distinct values"),
    "a date as target": (table_of(y="2020-01-01"), r"is a date; a target has classes"),
    "NaN in the target": (
        table_of(y=["no", None, "yes", None] * (N // 4)),
        r"is missing in 200 rows \(first: 2, 4, 6\); drop or fill these rows",
    ),
    "an infinity": (
        table_of(x=[1.0, np.inf] * (N // 2)),
        r"'x' is infinite or beyond 3e\+38 in 200 rows \(first: 2, 4, 6\)",
    ),
    "a number beyond 32 bits": (table_of(x=[1.0, -1e39] * (N // 2)), r"'x' is infinite or beyond 3e\+38 in 200 rows"),
    "repeated names": (csv_of(ROWS.replace("x,colour", "x,x", 1)), r"2 columns are called 'x'; rename all but one"),
    "an empty name": (csv_of(ROWS.replace("x,colour", "x,", 1)), r"column 2 has no name; name every column"),
    "nothing to learn from": (table_of(x=1, colour="red"), r"has no column to learn from besides 'y'"),
    "numbers with commas": (table_of(x=["1,234.5", "17.25"] * (N // 2)), r"holds numbers such as '1,234\.5'; write th"),
    "decimal commas": (
        csv_of(ROWS.replace(",", ";").replace(".", ",")),
        r"holds numbers such as '-0,\d+'; write them with a point",
    ),
    "dates of unknown order": (
        table_of(x=pd.date_range("2020-01-01", periods=N).strftime("%d.%m.%y")),
        r"holds dates such as '01\.01\.20', whose order of day and month is not certain",
    ),
    "dates before noon": (
        table_of(x=pd.date_range("2020-01-01", periods=N).strftime("%m/%d/%Y 10:%M AM")),
        r"holds dates such as '01/01/2020 10:00 AM', whose order",
    ),
    "dates with names of months": (
        table_of(x=pd.date_range("2020-01-01", periods=N).strftime("%d-%b-%Y")),
        r"holds dates such as '01-Apr-2020'.*; write them as 2020-12-31",
    ),
    "an infinite class": (table_of(y=[0.0, np.inf] * (N // 2)), r"one class only|holds inf, too large a number"),
    "a huge class": (table_of(y=[10**17, 10**17 + 1] * (N // 2)), r"holds 1000.*, too large a number for a class"),
    "no gzip": (written("my.csv.gz"), r"my\.csv\.gz cannot be read: Not a gzipped file"),
    "a pickle": (written("my.pkl"), r"to load a pickle is to run its code; save it as \.csv or \.parquet"),
    "a spreadsheet": (written("my.xlsx"), r"\.xlsx suffix; save it as \.csv or \.parquet"),
    "no Parquet": (written("my.parquet"), r"my\.parquet cannot be read: "),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_are_refused_in_one_line_and_leave_nothing(case, set_params, monkeypatch, capsys):
    write, message = BAD[case]
    path = write(Path.cwd())
    set_params(dataset=source(path, target="y3" if case == "target absent" else "y").model_dump())
    with pytest.raises(InputError, match=message):
        prepare.main()
    assert not PREPARED.exists()


@pytest.mark.parametrize("case", ["missing file", "header only", "latin-1 further down", "one class", "an infinity"])
def test_bad_data_stop_composing_before_anything_runs(case, workspace, monkeypatch, capsys):
    before = (workspace / "params.yaml").read_bytes()
    path = BAD[case][0](workspace)
    with pytest.raises(InputError, match=BAD[case][1]):
        composing.composed(["dataset=table", f"dataset.path={path.name}", "dataset.target=y"])
    assert (workspace / "params.yaml").read_bytes() == before


def test_composing_finds_rows_sizes_and_split_in_the_file(workspace, monkeypatch):
    frame(who=np.arange(N) % 40).to_csv("my.csv", index=False)
    monkeypatch.setattr(
        sys, "argv", ["compose", "dataset=table", "dataset.path=my.csv", "dataset.target=y", "dataset.group=who"]
    )
    composer.main()
    dataset = yaml.safe_load(Path("params.yaml").read_text())["dataset"]
    assert (dataset["n_rows"], dataset["n_test"], dataset["split"]) == (400, 100, "group")
    assert dataset["sizes"]["quick"] == [32, 64, 128, 300]  # the pool itself last
    checking.check()


def test_sizes_are_doublings_and_last_the_pool_where_the_scale_reaches_it():
    found = sizes_up_to(3_000_000, 2, "my.csv")
    assert found["sizes"]["full"] == [*(2**k for k in range(10, 21)), 3_000_000]
    assert found["sizes"]["quick"] == [2**k for k in range(10, 16)]
    assert found["variance_size"] == {"smoke": 1024, "quick": 1024, "full": 16384}
    assert sizes_up_to(15_000, 2, "my.csv")["sizes"]["quick"] == [512, 1024, 2048, 4096, 8192, 15_000]
    assert sizes_up_to(12_287, 2, "my.csv")["sizes"]["quick"] == [256, 512, 1024, 2048, 4096, 12_287]
    assert sizes_up_to(12_288, 2, "my.csv")["sizes"]["quick"] == [512, 1024, 2048, 4096, 8192, 12_288]
    assert sizes_up_to(32_768, 2, "my.csv")["sizes"]["quick"][-2:] == [16_384, 32_768]
    assert sizes_up_to(32_769, 2, "my.csv")["sizes"]["quick"][-2:] == [16_384, 32_768]
    assert sizes_up_to(127, 2, "my.csv")["sizes"]["quick"] == [32, 64, 127]
    assert sizes_up_to(64, 2, "my.csv")["sizes"]["quick"] == [32, 64]
    with pytest.raises(InputError, match="63 distinct rows for training are too few for two sizes"):
        sizes_up_to(63, 2, "my.csv")


def test_sizes_leave_room_for_the_repeated_rows_that_prepare_removes(set_params):
    few = frame().round({"x": 1})  # some 50 values in two colours: most test rows stand in the pool as well
    pd.concat([few, frame(x=np.arange(N) + 0.25)]).to_csv("my.csv", index=False)
    promised = measure(asked("my.csv", repeats="drop"))
    found = source(Path("my.csv"), n_rows=2 * N, n_test=promised["n_test"], repeats="drop")
    set_params(dataset=found.model_dump())
    prepare.main()
    left = artefacts.load_json(PREPARED / "dataset.json")["rows"]["pool"]
    assert promised["sizes"]["full"][-1] == left


def test_an_id_does_not_make_repeated_rows_distinct(tmp_path):
    few = frame(x=[1.0, 2.5] * (N // 2), customer_id=np.arange(N))
    few.to_csv(tmp_path / "my.csv", index=False)
    with pytest.raises(InputError, match=r"my\.csv: 0 distinct rows for training are too few"):
        measure(asked(tmp_path / "my.csv", repeats="drop"))


def test_a_path_outside_the_project_needs_leave(workspace, tmp_path_factory):
    path = tmp_path_factory.mktemp("elsewhere") / "my.csv"
    frame().to_csv(path, index=False)
    overrides = ["dataset=table", f"dataset.path={path}", "dataset.target=y"]
    with pytest.raises(InputError, match=r"lies outside the project; copy it here, or say dataset\.allow_outside=true"):
        composing.composed(overrides)
    assert "n_rows: 400" in composing.composed([*overrides, "dataset.allow_outside=true"])


def test_path_and_target_are_asked_for(workspace):
    with pytest.raises(InputError, match=r"dataset\.path is missing; name a CSV or Parquet file"):
        composing.composed(["dataset=table"])
    frame().to_csv("my.csv", index=False)
    with pytest.raises(InputError, match=r"dataset\.target is missing; name the column to predict"):
        composing.composed(["dataset=table", "dataset.path=my.csv"])


def test_kinds_are_found(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "my.csv"
    frame(
        day=pd.date_range("2020-01-01", periods=N).strftime("%Y-%m-%d"),
        at=pd.date_range("2020-01-01 06:30", periods=N, freq="h").strftime("%Y-%m-%d %H:%M:%S"),
        is_new=rng.choice([True, False], N),
        gap=np.where(rng.random(N) < 0.3, np.nan, 1.5 * np.arange(N)),
        customer_id=rng.permutation(N) * 7,
        number=np.arange(N),
        code=[f"k{i}" for i in range(N)],
        same=3,
    ).to_csv(path, index=False)
    table = load(source(path))
    kinds = {card.name: card.kind for card in table.columns}
    assert kinds == {
        "x": "numeric", "gap": "numeric", "day (days)": "numeric", "at (days)": "numeric", "at (hour)": "numeric",
        "colour": "categorical", "is_new": "categorical", "day (month)": "categorical",
        "day (weekday)": "categorical", "at (month)": "categorical", "at (weekday)": "categorical",
    }  # fmt: skip
    assert {item.column: item.reason.split(",")[0] for item in table.left_out} == {
        "customer_id": "every row has its own value", "number": "every row has its own value",
        "code": "every row has its own value", "same": "constant",
    }  # fmt: skip
    names = [card.name for card in table.columns if card.kind == "numeric"]
    gap = table.features.blocks["numeric"][:, names.index("gap")]
    known = pd.read_csv(path)["gap"].to_numpy()
    np.testing.assert_array_equal(gap, known.astype(np.float32))
    assert next(card for card in table.columns if card.name == "gap").missing == np.isnan(known).sum()
    hours = table.features.blocks["numeric"][:, names.index("at (hour)")]
    assert hours[:3].tolist() == [6.5, 7.5, 8.5]


@pytest.mark.parametrize("how", ["parquet", "csv", "csv.gz", "semicolons", "byte order mark"])
def test_every_format_gives_the_same_table(how, tmp_path):
    rows = frame(colour=["rot, dunkel", 'g"r', "a\nb", "é"] * (N // 4), gaps=["a", "NA", "", "None"] * (N // 4))
    path = tmp_path / f"my.{how if how in ('parquet', 'csv.gz') else 'csv'}"
    match how:
        case "parquet":
            duckdb.from_df(rows).write_parquet(str(path))
        case "csv.gz":
            with gzip.open(path, "wt", encoding="utf-8") as file:
                rows.to_csv(file, index=False)
        case _:
            separator = ";" if how == "semicolons" else ","
            rows.to_csv(path, index=False, sep=separator, encoding="utf-8-sig" if "mark" in how else "utf-8")
    table = load(source(path))
    np.testing.assert_allclose(table.features.blocks["numeric"][:, 0], rows["x"].to_numpy(np.float32), rtol=1e-6)
    categories = table.columns[1].categories
    assert categories is not None
    assert [categories[code] for code in table.features.blocks["categorical"][:, 0]] == rows["colour"].tolist()
    assert table.features.blocks["categorical"][:8, 1].tolist() == [0, -1, -1, -1] * 2
    assert [table.classes[label] for label in table.labels] == rows["y"].tolist()


def test_a_group_never_stands_on_both_sides_and_is_no_feature(set_params):
    who = np.random.default_rng(2).integers(60, size=N)
    frame(who=who).to_csv("my.csv", index=False)
    set_params(dataset=source(Path("my.csv"), group="who", split="group").model_dump())
    prepare.main()
    pool, test = (np.load(artefacts.FEATURES / f"{side}_groups.npy") for side in ("pool", "test"))
    assert not set(pool) & set(test)
    assert artefacts.load_json(LAYOUT)["held_out_by"] == "group"
    card = artefacts.load_json(PREPARED / "dataset.json")
    assert "who" not in {column["name"] for column in card["columns"]}
    assert {"column": "who", "reason": "names the rows' group"} in card["left_out"]


def test_a_time_split_tests_on_what_comes_last(set_params):
    order = np.random.default_rng(3).permutation(N)
    frame(x=order.astype(float), at=pd.Timestamp("2020-01-01") + pd.to_timedelta(order, "D")).to_csv("my.csv")
    set_params(dataset=source(Path("my.csv"), time="at", split="time").model_dump())
    with pytest.raises(InputError, match="column 1 has no name"):  # pandas wrote its index
        prepare.main()
    frame(x=order.astype(float), at=pd.Timestamp("2020-01-01") + pd.to_timedelta(order, "D")).to_csv(
        "my.csv", index=False
    )
    prepare.main()
    pool, test = load_features("pool"), load_features("test")
    assert pool.blocks["numeric"].max() == N - 101
    assert test.blocks["numeric"].min() == N - 100


def test_a_leaking_column_is_warned_of_and_named_in_the_card(set_params, capsys):
    y = np.random.default_rng(4).choice(["no", "yes"], N)
    frame(y=y, outcome=np.where(y == "yes", "paid", "lost"), score=(y == "yes") + np.linspace(0, 0.5, N)).to_csv(
        "my.csv", index=False
    )
    set_params(dataset=source(Path("my.csv")).model_dump())
    prepare.main()
    warnings = artefacts.load_json(PREPARED / "dataset.json")["warnings"]
    assert ["'outcome'" in text or "'score'" in text for text in warnings] == [True, True]
    assert "prepare: warning: the column 'outcome' alone predicts the target 'y'" in capsys.readouterr().out


def test_numbers_with_a_few_words_among_them_are_warned_of(tmp_path):
    path = tmp_path / "my.csv"
    frame(amount=["12.5", "13", "14", "?"] * 10 + ["15"] * (N - 40)).to_csv(path, index=False)
    assert "looks like numbers but for 10 values such as '?'" in load(source(path)).warnings[0]


def test_values_that_differ_by_spaces_alone_are_warned_of(tmp_path):
    path = tmp_path / "my.csv"
    frame(colour=["red", "red ", "blue", "green"] * (N // 4)).to_csv(path, index=False)
    table = load(source(path))
    what = "has values that differ by blanks around them alone: 4, without them 3; they are taken for one"
    assert table.warnings == [f"the column 'colour' {what}"]
    assert table.columns[1].categories == ["blue", "green", "red"]


def test_columns_of_parquet_that_differ_by_case_alone_keep_their_names(tmp_path):
    frame(X=np.arange(N) % 7 + 0.5).to_parquet(tmp_path / "my.parquet")
    names = [card.name for card in load(source(tmp_path / "my.parquet")).columns]
    assert {"x", "X"} <= set(names)


def test_whole_numbers_of_19_digits_keep_their_differences(tmp_path):
    path = tmp_path / "my.parquet"
    frame(x=1_700_000_000_000_000_000 + np.arange(N) % 90).to_parquet(path)
    np.testing.assert_array_equal(load(source(path)).features.blocks["numeric"][:, 0], np.arange(N) % 90)


def test_rows_that_repeat_in_time_are_counted_as_the_split_removes_them(set_params):
    x = np.random.default_rng(0).permutation(N // 2).tolist() * 2  # the test's rows stood in the first half too
    frame(x=x, colour="red", at=pd.date_range("2020-01-01", periods=N)).to_csv("my.csv", index=False)
    sizes = measure(asked("my.csv", time="at"))["sizes"]["full"]
    set_params(dataset=source(Path("my.csv"), time="at", split="time").model_dump())
    prepare.main()
    n_pool = len(np.load(PREPARED / "pool_labels.npy"))
    assert n_pool == N // 2
    assert sizes[-1] == n_pool


def test_the_latest_test_rows_count_by_blocks_of_time(set_params):
    at = np.repeat(pd.date_range("2020-01-01", periods=N // 4), 4)
    frame(at=at).to_csv("my.csv", index=False)
    found = source(Path("my.csv"), time="at", split="time")
    set_params(dataset=found.model_dump())
    prepare.main()
    assert artefacts.load_json(LAYOUT)["held_out_by"] == "time"
    split = artefacts.load_json(PREPARED / "dataset.json")["split"]
    assert (split["is_grouped"], split["counted_by"]) == (True, "block of time")
    pool, test = (
        np.array(artefacts.load_array(artefacts.FEATURES / f"{side}_groups.npy")) for side in ("pool", "test")
    )
    assert len(np.unique(pool)) == 75  # moments
    assert 20 <= len(np.unique(test)) <= 30  # of 25 moments
    assert all(len(set(test[start : start + 4])) == 1 for start in range(0, 100, 4))
    assert (np.diff(test) >= 0).all()


def test_a_group_of_most_rows_is_named(tmp_path):
    frame(who=[1] * 350 + list(range(2, 52))).to_csv(tmp_path / "my.csv", index=False)
    with pytest.raises(InputError, match=r"dataset\.group='who': the group '1' has 350 of 400 rows, too many"):
        measure(asked(tmp_path / "my.csv", group="who"))


def test_a_column_called_by_a_number_can_be_the_target(workspace):
    frame(**{"1": ["a", "b"] * (N // 2)}).to_csv(workspace / "my.csv", index=False)
    text = composing.composed(["dataset=table", "dataset.path=my.csv", "dataset.target=1"])
    assert yaml.safe_load(text)["dataset"]["target"] == "1"


def test_names_with_signs_of_markup_survive_into_the_card(set_params):
    nasty = '<script>"$x$" = 1\n2</script>'
    frame(**{nasty: 1.5 * np.arange(N)}, y=np.where(np.arange(N) % 2, "<b>$yes", "no=\n")).to_csv("my.csv", index=False)
    set_params(dataset=source(Path("my.csv")).model_dump())
    prepare.main()
    card = artefacts.load_json(PREPARED / "dataset.json")
    assert nasty in {column["name"] for column in card["columns"]}
    assert card["classes"] == ["<b>$yes", "no=\n"]


def test_categories_beyond_the_most_frequent_are_one_more_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.prepare.sources.table.MOST_CATEGORIES", 2)
    path = tmp_path / "my.csv"
    frame(colour=(["red"] * 5 + ["green"] * 3 + ["blue", None]) * (N // 10)).to_csv(path, index=False)
    table = load(source(path))
    assert table.columns[1].categories == ["green", "red"]
    assert table.features.blocks["categorical"][:10, 0].tolist() == [1] * 5 + [0] * 3 + [2, -1]


def test_a_file_that_changed_since_composing_is_noticed(set_params):
    frame().to_csv("my.csv", index=False)
    set_params(dataset=source(Path("my.csv"), n_rows=399).model_dump())
    with pytest.raises(InputError, match=r"n_rows=399, but table has 400 rows; run `python -m stages\.compose` again"):
        prepare.main()


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (np.arange(N) % 3 == 0, ["False", "True"]),
        (np.arange(N) % 3, ["0", "1", "2"]),
        ((np.arange(N) % 3).astype(float), ["0", "1", "2"]),
        (pd.Categorical.from_codes(np.arange(N) % 2, ["b", "a"]), ["a", "b"]),
    ],
    ids=["booleans", "whole numbers", "whole numbers as floats", "categories"],
)
def test_targets_of_every_kind_become_classes(target, classes, tmp_path):
    path = tmp_path / "my.parquet"
    frame(y=target).to_parquet(path)
    table = load(source(path))
    assert table.classes == classes
    names = [str(int(value)) if isinstance(value, float) else str(value) for value in pd.Series(target)]
    assert [table.classes[label] for label in table.labels] == names


def test_times_with_a_zone_and_a_capital_suffix_are_read(tmp_path):
    path = tmp_path / "MY.PARQUET"
    times = pd.date_range("2020-03-01 05:00", periods=N, freq="D", tz="UTC")
    frame(at=times).to_parquet(path)
    table = load(source(path))
    names = [card.name for card in table.columns if card.kind == "numeric"]
    days = table.features.blocks["numeric"][:, names.index("at (days)")]
    assert days[0] == 0
    assert np.diff(days) == pytest.approx(1)


def test_rows_that_begin_with_a_hash_sign_are_rows(tmp_path):
    path = tmp_path / "my.csv"
    frame(x=[f"#{i % 5}" if i % 3 == 0 else "plain" for i in range(N)]).to_csv(path, index=False)
    assert len(load(source(path)).labels) == N


def test_a_path_that_looks_like_a_pattern_is_that_file(tmp_path):
    frame(y=["a", "b"] * (N // 2)).to_csv(tmp_path / "d1.csv", index=False)
    frame(y=["c", "d"] * (N // 2)).to_csv(tmp_path / "d[1].csv", index=False)
    folder = tmp_path / "y=no"
    folder.mkdir()
    frame(y=["e", "f"] * (N // 2)).to_parquet(folder / "my.parquet")
    assert load(source(tmp_path / "d[1].csv")).classes == ["c", "d"]
    assert load(source(folder / "my.parquet")).classes == ["e", "f"]


def test_rows_of_one_time_are_counted_to_the_test_when_sizes_are_set(tmp_path):
    path = tmp_path / "my.csv"
    frame(year=[2019, 2020] * (N // 2)).to_csv(path, index=False)
    assert measure(asked(path, time="year"))["sizes"]["full"][-1] == 200  # of 400 rows 200 are of 2020


def test_time_as_text_and_a_group_that_is_not_a_number_are_refused(tmp_path):
    path = tmp_path / "my.csv"
    frame(when=["first", "second"] * (N // 2)).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"dataset\.time='when' is text such as 'first'; write dates as 2020-12-31"):
        measure(asked(path, time="when"))
    frame(who=[1.0, np.nan] * (N // 2)).to_parquet(tmp_path / "my.parquet")
    with pytest.raises(InputError, match="'who' is missing in 200 rows"):
        load(source(tmp_path / "my.parquet", group="who", split="group"))


def test_seconds_since_1970_and_times_by_the_second_stay_apart(tmp_path):
    path = tmp_path / "my.csv"
    at = pd.date_range("2024-05-01", periods=N, freq="s").strftime("%Y-%m-%dT%H:%M:%SZ")
    frame(x=1_700_000_000.5 + np.arange(N), at=at).to_csv(path, index=False)
    features = load(source(path)).features
    assert [len(np.unique(column)) for column in features.blocks["numeric"].T] == [N, N, N]  # x, days, hour
    assert measure(asked(path))["sizes"]["full"][-1] == 300
