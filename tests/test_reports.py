"""Tables as people reported them, each made here anew: what is read otherwise than one may expect is said."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.common.artefacts import PREPARED, load_json
from stages.common.errors import InputError
from stages.contract.dataset import LeftOut
from stages.prepare import __main__ as prepare
from stages.prepare.files import delimited
from stages.prepare.params import Asked, Source
from stages.prepare.sources.table import load, measure
from tests.conftest import asked_of

N = 400
RNG = np.random.default_rng(5)
SIGNAL = RNG.normal(100, 20, N).round(2)
DECIDED = np.where(RNG.random(N) < 1 / (1 + np.exp(-(SIGNAL - 100) / 5)), "yes", "no")


def asked(path: str, **said: object) -> Asked:
    return asked_of("table", **{"path": path, "target": "y"} | said)


def source(path: str, **said: object) -> Source:
    given = asked(path, **said)
    found = {key: value for key, value in measure(given).items() if key in Source.model_fields}
    return Source.model_validate(given.model_dump() | {"name": "table"} | found)


def written(folder: Path, name: str = "my.csv", **columns: object) -> str:
    frame = pd.DataFrame({"x": RNG.normal(size=N).round(3), **columns, "y": DECIDED})
    path = folder / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return str(path)


def column(path: str, name: str, **changes: object) -> tuple[np.ndarray, list[str]]:
    """The numbers of a column as they are learned from, and the warnings."""
    table = load(source(path, **changes))
    numeric = [card.name for card in table.columns if card.kind == "numeric"]
    assert name in numeric, table.columns
    return np.asarray(table.features.blocks["numeric"][:, numeric.index(name)]), table.warnings


@pytest.mark.parametrize("words", [["?"], ["missing"], ["not seen", " - "]], ids=str)
def test_one_or_two_words_among_numbers_are_missing_values_whatever_their_share(words, tmp_path):
    is_word = np.arange(N) % 3 == 0
    values = [
        words[i % len(words)] if flag else f"{v}" for i, (v, flag) in enumerate(zip(SIGNAL, is_word, strict=True))
    ]
    found, warnings = column(written(tmp_path, a=values), "a")
    np.testing.assert_array_equal(np.isnan(found), is_word)
    np.testing.assert_allclose(found[~is_word], SIGNAL[~is_word], rtol=1e-6)
    assert len(warnings) == 1
    for word in words:
        n = sum(value == word for value in values)
        assert f"{word.strip()!r} in {n} rows counts as missing" in warnings[0]


@pytest.mark.parametrize(("limit", "number"), [("<0.05", 0.05), ("> 300", 300.0), ("1000+", 1000.0)])
def test_a_limit_is_read_as_its_number_and_named(limit, number, tmp_path):
    values = [limit if i % 4 == 0 else f"{v}" for i, v in enumerate(SIGNAL)]
    found, warnings = column(written(tmp_path, a=values), "a")
    np.testing.assert_allclose(found[::4], number, rtol=1e-6)
    assert warnings == [f"the column 'a' is read as numbers: {limit!r} in 100 rows counts as its number"]


def test_dates_with_a_word_among_them_stay_dates(tmp_path):
    days = pd.date_range("2020-01-01", periods=N).strftime("%Y-%m-%d")
    found, warnings = column(
        written(tmp_path, a=["unknown" if i % 5 == 0 else d for i, d in enumerate(days)]), "a (days)"
    )
    assert np.isnan(found).sum() == 80
    assert found[4] - found[1] == 3
    assert warnings == ["the column 'a' is read as dates: 'unknown' in 80 rows counts as missing"]


def test_codes_of_digits_and_letters_stay_categories(tmp_path):
    path = written(
        tmp_path,
        code=RNG.choice(["1", "2", "3", "U"], N),
        seat=RNG.choice([f"{i}{c}" for i in range(9) for c in "ABC"], N),
    )
    kinds = {card.name: card.kind for card in load(source(path)).columns}
    assert kinds == {"x": "numeric", "code": "categorical", "seat": "categorical"}


@pytest.mark.parametrize(
    "spelt",
    [
        "€{:.2f}K",
        "EUR {:.2f}",
        "{:.1f} kmpl",
        "({:.2f})",
        "\N{MINUS SIGN}{:.2f}",
        "{:.0f}\N{NARROW NO-BREAK SPACE}000",
        "1'{:03.0f}.5",
        "{:.2f} %",
        "$ {:.2f}",
    ],
)
def test_numbers_as_people_write_them_are_refused_with_an_example(spelt, tmp_path):
    with pytest.raises(InputError, match=r"the column 'a' holds numbers such as .*; write them with a point and with"):
        load(source(written(tmp_path, a=[spelt.format(v) for v in SIGNAL])))


@pytest.mark.parametrize(("value", "others"), [(-999, SIGNAL), (9999.0, SIGNAL), (-1, np.arange(N) % 60)], ids=str)
def test_a_number_that_may_mean_missing_is_asked_about_and_can_be_read_so(value, others, tmp_path):
    path = written(tmp_path, a=np.where(np.arange(N) % 5 == 0, value, others))
    found, warnings = column(path, "a")
    assert (found == value).sum() == 80
    assert len(warnings) == 1
    assert f"has {value:g} in 80 rows (20%)" in warnings[0]
    assert f"say dataset.missing=[{value:g}]" in warnings[0]
    found, warnings = column(path, "a", missing=[value])
    np.testing.assert_array_equal(np.isnan(found), np.arange(N) % 5 == 0)
    assert warnings == [f"{value} counts as missing in every column (dataset.missing)"]


def test_a_frequent_lowest_number_near_the_others_is_no_question(tmp_path):
    assert load(source(written(tmp_path, a=np.maximum(0, SIGNAL - 90)))).warnings == []


def test_row_labels_of_pandas_are_no_feature(tmp_path):
    frame = pd.DataFrame({"x": RNG.normal(size=2 * N), "y": ["no", "yes"] * N})
    frame[frame.x > frame.x.median()].to_parquet(tmp_path / "my.parquet")
    table = load(source(str(tmp_path / "my.parquet")))
    assert [card.name for card in table.columns] == ["x"]
    reason = "row labels that pandas wrote beside the data"
    assert table.left_out == [LeftOut(column="__index_level_0__", reason=reason)]


def test_codes_that_parquet_holds_as_words_and_decimals_stay_what_they_are(tmp_path):
    path = written(tmp_path, "my.parquet", zip=[f"{i % 30:05d}" for i in range(N)],
                   price=[Decimal(-1 if i % 5 == 0 else i % 90).scaleb(-2) for i in range(N)])  # fmt: skip
    table = load(source(path))
    assert {card.name: card.kind for card in table.columns} == {
        "x": "numeric",
        "price": "numeric",
        "zip": "categorical",
    }
    (warning,) = table.warnings
    assert "'price' has -0.01 in 80 rows" in warning


def test_classes_that_differ_by_blanks_alone_are_one_and_named(tmp_path):
    path = tmp_path / "my.csv"
    pd.DataFrame({"x": SIGNAL, "y": ["no", "no ", "yes", "yes"] * (N // 4)}).to_csv(path, index=False)
    table = load(source(str(path)))
    assert table.classes == ["no", "yes"]
    assert "the column 'y' has values that differ by blanks around them alone: 3, without them 2" in table.warnings[0]


def lines(tmp_path: Path, content: list[str], name: str = "my.tsv") -> str:
    (tmp_path / name).write_bytes("".join(content).encode())
    return str(tmp_path / name)


def test_quotes_of_a_file_that_never_quotes_lose_no_row(tmp_path):
    remarks = ['"loose' if i == 60 else 'belt 5"' if i == 95 else "fine" for i in range(N)]
    rows = [f"{x}\t{r}\t{y}\n" for x, r, y in zip(SIGNAL, remarks, DECIDED, strict=True)]
    table = load(source(lines(tmp_path, ["x\tremark\ty\n", *rows])))
    assert len(table.labels) == N
    assert table.columns[1].categories == ['"loose', 'belt 5"', "fine"]
    assert table.warnings == ['a quote (") is read as a sign like others: so each of the 401 lines has 3 values']


def test_a_quote_without_its_other_is_read_as_a_sign(tmp_path):
    rows = [
        f"{x};{'5 inch' if i else chr(34) + 'odd'};{y}\n" for i, (x, y) in enumerate(zip(SIGNAL, DECIDED, strict=True))
    ]
    assert len(load(source(lines(tmp_path, ["x;remark;y\n", *rows], "my.csv"))).labels) == N


def test_a_quote_that_swallows_rows_of_a_file_that_quotes_is_refused(tmp_path):
    rows = [f'{x},"a, b",{y}\n' for x, y in zip(SIGNAL, DECIDED, strict=True)]
    rows[60], rows[95] = '1,"a b,no\n', '1,a b",no\n'
    with pytest.raises(
        InputError, match=r"begins with a quote and 'a b,no' goes over \d+ lines that look like rows; close|line \d+"
    ):
        load(source(lines(tmp_path, ["x,remark,y\n", *rows], "my.csv")))


def test_lines_that_end_in_two_ways_are_all_read(tmp_path):
    rows = [
        f"{x},{i % 3},{y}{'' if i % 2 else chr(13)}\n" for i, (x, y) in enumerate(zip(SIGNAL, DECIDED, strict=True))
    ]
    table = load(source(lines(tmp_path, ["x,a,y\n", *rows], "my.csv")))
    assert len(table.labels) == N
    assert table.classes == ["no", "yes"]
    assert table.warnings == ["lines end in two ways (200 in CRLF and 201 in LF); both are read as ends of lines"]


def test_a_cell_of_200_000_letters_is_read(tmp_path):
    table = load(source(written(tmp_path, text=["we, all; " * (22_000 if i == 3 else 1 + i % 3) for i in range(N)])))
    assert table.columns[1].n_categories == 4


def test_blanks_around_names_and_words_are_taken_off_with_a_word(tmp_path):
    rows = [f"{x}, {y}\n" for x, y in zip(SIGNAL, DECIDED, strict=True)]
    path = lines(tmp_path, ["x, y\n", *rows], "my.csv")
    for target in ("y", " y"):
        table = load(source(path, target=target))
        assert table.classes == ["no", "yes"]
        assert table.warnings == ["blanks around names of columns are taken off: ' y' is 'y'"]


def test_a_file_that_lies_elsewhere_is_told_how_to_fetch(tmp_path):
    path = tmp_path / "data" / "my.csv"
    path.parent.mkdir()
    with pytest.raises(InputError, match=r"is no file; name a CSV or Parquet file"):
        load(asked(str(path)))
    (tmp_path / "data.dvc").write_text("outs: []\n")
    with pytest.raises(InputError, match=r"is no file; run `dvc pull`"):
        load(asked(str(path)))
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(InputError, match=r"is a pointer of Git LFS, not the file itself; run `git lfs pull`"):
        load(asked(str(path)))


def test_rows_that_python_counts_and_the_database_does_not_are_refused(tmp_path, monkeypatch):
    path = written(tmp_path, note=['two\nlines "so"', "one"] * (N // 2))
    assert load(source(path)).n_read == N
    monkeypatch.setattr(delimited, "_records", lambda *_: N + 2)
    with pytest.raises(InputError, match=rf"of {N + 1} rows {N} were read; mend its quotes and ends of lines"):
        load(asked(path))


@pytest.mark.parametrize(("cell", "kind"), [
    ("97.3 ", "numeric"), ("97.3\xa0", "numeric"), ("97.3\t", "numeric"), (" ", "numeric"), (" NA", "numeric"),
    ("NA ", "numeric"), ("01234", "categorical"),
])  # fmt: skip
def test_blanks_around_a_number_or_for_a_missing_one_make_no_words(cell, kind, tmp_path):
    values = [f"{x:.1f}" for x in SIGNAL]
    values[7] = cell
    path = written(tmp_path, a=values)
    assert [c.kind for c in load(asked(path)).columns if c.name == "a"] == [kind]
    every_one = written(tmp_path, a=[f" {x:.1f}  " for x in SIGNAL])
    assert column(every_one, "a")[0] == pytest.approx(SIGNAL, abs=0.051)


@pytest.mark.parametrize("first", ["2020-01-01", "2020-01-01 14:13"])
def test_dates_beside_times_are_times_whichever_is_first(first, tmp_path):
    days = pd.date_range("2020-01-01", periods=N).strftime("%Y-%m-%d")
    at = [day if i % 2 else f"{day} 14:13" for i, day in enumerate(days)]
    table = load(asked(written(tmp_path, at=[first, *at[1:]])))
    assert {c.name for c in table.columns} >= {"at (days)", "at (hour)"}


def test_zoned_times_with_a_word_among_them_say_so(tmp_path):
    at = [f"2020-01-{1 + i % 28:02d}T{i % 24:02d}:{i % 60:02d}:00+02:00" if i % 9 else "unknown" for i in range(N)]
    table = load(asked(written(tmp_path, at=at)))
    assert "at (hour)" in {c.name for c in table.columns}
    assert any("have a zone: weekday, month and hour are those of UTC" in warning for warning in table.warnings)
    assert any("'unknown' in 45 rows counts as missing" in warning for warning in table.warnings)


def test_a_point_that_may_separate_thousands_is_asked_about(tmp_path):
    amounts = [f"{n:,}".replace(",", ".") for n in RNG.integers(300, 5000, N)]
    assert any("if the point separates thousands" in w for w in load(asked(written(tmp_path, a=amounts))).warnings)
    lengths = [f"{x:.3f}" for x in RNG.gamma(2, 200, N)]  # millimetres
    ratios = [f"{x:.3f}".rstrip("0").rstrip(".") for x in np.where(RNG.random(N) < 0.3, 1, RNG.gamma(2, 2, N) + 1)]
    for values in (lengths, ratios):
        table = load(asked(written(tmp_path, a=values)))
        assert not any("thousands" in warning for warning in table.warnings)


@pytest.mark.parametrize("spelt", ["%b %d, %Y", "%Y.%m.%d", "%d%b%Y", "%a, %d %b %Y", "%d/%m/%YT%H:%M"])
def test_dates_in_other_orders_are_refused(spelt, tmp_path):
    at = pd.date_range("2020-01-01", periods=N).strftime(spelt)
    with pytest.raises(InputError, match=r"the column 'at' holds dates such as .*; write them as 2020-12-31"):
        load(asked(written(tmp_path, at=at)))


@pytest.mark.parametrize("spelt", ["{0:.0f}-{1:.0f}", "{0:.1f}±0.5", "US${0:.1f}", "~{0:.1f}", "0{2}:{3:02d}"])
def test_words_of_digits_are_asked_about(spelt, tmp_path):
    values = [spelt.format(x, x + 10, i % 8, i % 60) for i, x in enumerate(SIGNAL)]
    table = load(asked(written(tmp_path, a=[value if i else values[1] for i, value in enumerate(values)])))
    assert any("'a' is read as words, such as" in warning for warning in table.warnings)


@pytest.mark.parametrize("word", [None, "?"])
def test_numbers_that_parquet_holds_as_text_have_one_rule(word, tmp_path):
    values = [f"{x:.1f}" if i % 9 or word is None else word for i, x in enumerate(SIGNAL)]
    codes = [f"{i % 50:04d}" if i % 9 or word is None else word for i in range(N)]
    table = load(asked(written(tmp_path, "my.parquet", a=values, code=codes)))
    assert {c.name: c.kind for c in table.columns} == {"x": "numeric", "a": "numeric", "code": "categorical"}
    assert any("'a'" in warning for warning in table.warnings)


@pytest.mark.parametrize(("cells", "asked_of"), [
    ((-8, -9), ["-8", "-9"]), ((-998, -999), ["-998", "-999"]), ((9998, 9999), ["9998", "9999"]), ((77,), []),
])  # fmt: skip
def test_several_numbers_that_may_mean_missing_are_asked_about(cells, asked_of, tmp_path):
    values = RNG.integers(0, 90, N)
    values[: 40 * len(cells)] = np.repeat(cells, 40)
    found = [w for w in load(asked(written(tmp_path, a=values))).warnings if "if it means missing" in w]
    assert sorted(w.split("dataset.missing=[")[1].rstrip("]") for w in found) == sorted(asked_of)


def test_a_number_far_from_a_short_scale_and_a_date_far_from_others_are_asked_about(tmp_path):
    scale = RNG.integers(1, 6, N)
    scale[:40] = 99
    at = pd.date_range("2020-01-01", periods=N).strftime("%Y-%m-%d").to_numpy().copy()
    at[::4] = "1900-01-01"
    path = written(tmp_path, scale=scale, at=at)
    found = [w for w in load(asked(path)).warnings if "if it means missing" in w]
    assert any("'scale' has 99" in w for w in found)
    assert any("dataset.missing=['1900-01-01']" in w for w in found)
    cards = load(asked(path, missing=[99, "1900-01-01"])).columns
    assert {c.name: c.missing for c in cards if c.name in ("scale", "at (days)")} == {
        "scale": 40,
        "at (days)": 100,
    }


def test_text_of_several_lines_with_delimiters_is_read(tmp_path):
    path = written(tmp_path, n=["l,i,n,e1\nl,i,n,e2\nlast", "short"] * (N // 2))
    assert load(asked(path)).n_read == N


def test_classes_that_differ_by_case_are_asked_about(tmp_path):
    path = tmp_path / "my.csv"
    pd.DataFrame({"x": SIGNAL, "y": ["Yes", "yes", "No", "No"] * (N // 4)}).to_csv(path, index=False)
    (warning,) = load(asked(str(path))).warnings
    assert "the classes 'Yes', 'yes' of 'y' differ by case alone" in warning


def test_what_cannot_be_split_is_refused_when_composing(tmp_path):
    path = str(tmp_path / "my.csv")
    frame = pd.DataFrame({"x": SIGNAL, "t": np.arange(N), "g": np.arange(N) % 2, "y": DECIDED})
    frame.assign(y=np.where(np.arange(N) > 350, "new", DECIDED)).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"the pool of 300 rows has none of class 'new'; it begins or ends there"):
        measure(asked(path, time="t"))
    frame.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"dataset.time='y' is the target too"):
        measure(asked(path, time="y"))
    with pytest.raises(InputError, match=r"too many to hold whole groups out|the pool has 1 groups"):
        measure(asked(path, group="g"))


def test_a_table_replaced_after_composing_is_noticed(tmp_path, set_params, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"x": np.arange(N), "z": np.arange(N) % 7, "y": DECIDED})
    frame.to_csv("my.csv", index=False)
    set_params(dataset=source("my.csv").model_dump())
    pd.concat([frame[:200], frame[:200]]).to_csv("my.csv", index=False)
    with pytest.raises(
        InputError, match=r"dataset.n_pool=300, but the pool has \d+ rows: .*run `python -m stages.compose"
    ):
        prepare.main()


def test_rare_classes_are_refused_dropped_or_merged(tmp_path, set_params, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    y = np.array(["a", "b"] * (N // 2), dtype=object)
    y[:7], y[7:13] = "rare", "rarer"
    path = written(tmp_path, "my.csv", a=SIGNAL)
    frame = pd.read_csv(path).assign(y=y)
    frame.to_csv("my.csv", index=False)
    with pytest.raises(InputError, match=r"class 'rarer' has 6 rows; .* dataset.rare_classes=merge or =drop does"):
        measure(asked("my.csv"))
    dropped = source("my.csv", rare_classes="drop")
    assert dropped.n_rows == N - 13
    table = load(dropped)
    assert table.classes == ["a", "b"]
    np.testing.assert_allclose(table.features.blocks["numeric"][:, 1], SIGNAL[13:], rtol=1e-6)
    merged = load(source("my.csv", rare_classes="merge"))
    assert merged.classes == ["a", "b", "rare classes"]
    assert np.bincount(merged.labels).tolist() == [193, 194, 13]
    assert "13 rows of 2 classes of 'y' with fewer than 10 rows ('rare', 'rarer') are one class" in merged.warnings[0]
    set_params(dataset=dropped.model_dump())
    prepare.main()
    card = load_json(PREPARED / "dataset.json")
    assert card["dropped"][0] == {"reason": "of a class with fewer than 10 rows", "rows": 13}
    assert sum(card["rows"][side] for side in ("pool", "test")) + sum(d["rows"] for d in card["dropped"]) == N
    assert "prepare: warning: 13 rows of 2 classes of 'y'" in capsys.readouterr().out


def test_sizes_start_where_the_rarest_class_is_expected_a_few_times(tmp_path):
    y = np.where(np.arange(2500) < 15, 1, 0)
    pd.DataFrame({"x": np.random.default_rng(0).normal(size=2500), "y": y}).to_csv(tmp_path / "my.csv", index=False)
    assert measure(asked(str(tmp_path / "my.csv")))["sizes"]["quick"] == [512, 1024, 1875]


@pytest.mark.parametrize("seed", range(6))
def test_the_column_that_a_target_was_cut_from_is_warned_of(seed, tmp_path, set_params, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(seed)
    price = random.normal(200_000, 50_000, 600).round()
    y = np.digitize(price, np.quantile(price, [1 / 3, 2 / 3]))
    area = price / 1800 + random.normal(0, 10, 600)
    pd.DataFrame({"area": area.round(1), "price": price, "y": y}).to_csv("my.csv", index=False)
    set_params(dataset=source("my.csv").model_dump())
    prepare.main()
    (warning,) = load_json(PREPARED / "dataset.json")["warnings"]
    assert warning.startswith("the column 'price' alone predicts the target 'y' almost always")


def test_times_with_and_without_a_zone_are_the_same_on_every_machine(tmp_path):
    at = [f"2024-03-{1 + i % 27:02d}T{i % 24:02d}:30:00{'' if i % 10 == 0 else 'Z'}" for i in range(N)]
    path = written(tmp_path, a=at)
    script = """
import json, sys
from stages.prepare.params import Source
from stages.prepare.sources.table import load
table = load(Source.model_validate(json.loads(sys.argv[1])))
print(table.features.blocks["numeric"][:].tobytes().hex(), table.warnings)
"""
    said = source(path).model_dump_json()
    command, root = [sys.executable, "-c", script, said], Path(__file__).parents[1]
    found = set()
    for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
        environment = {"TZ": zone, "PATH": ""}
        run = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
        found.add(run.stdout)
    assert len(found) == 1
    assert "the times of 'a' have a zone: weekday, month and hour are those of UTC" in json.dumps(sorted(found))
