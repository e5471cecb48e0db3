"""A hostile table is only data: formulas, bombs, paths."""

import gzip
import io
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.common import artefacts
from stages.common.artefacts import PREPARED
from stages.common.errors import InputError
from stages.prepare import __main__ as prepare
from stages.prepare import packed
from stages.prepare.files import reading
from stages.prepare.files.reading import read_rows
from stages.prepare.sources import images
from tests.conftest import source_of

PATH_TRICKS = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "C:\\boot.ini",
    "a\0b",
    "$(touch ran)",
    "'; DROP TABLE rows; --",
]


@pytest.mark.parametrize("text", ["=cmd()", "@sum", "+a", "-a", "\tx", "'=x", "''=x", "-1e5"])
def test_what_a_spreadsheet_would_run_has_an_apostrophe_before_it(tmp_path, text):
    artefacts.save_csv(tmp_path / "of.csv", [{"class": text}], ["class"])
    cell = (tmp_path / "of.csv").read_text().splitlines()[1].strip('"')
    assert cell == f"'{text}"
    assert artefacts.load_csv(tmp_path / "of.csv") == [{"class": text}]


@pytest.mark.parametrize("text", ["-1", "+2.5", "a=b", "it's", "'quoted'", ""])
def test_all_else_stands_as_it_is(tmp_path, text):
    artefacts.save_csv(tmp_path / "of.csv", [{"class": text, "x": -0.5}], ["class", "x"])
    assert (tmp_path / "of.csv").read_text().splitlines()[1] == f"{text},-0.5"
    assert artefacts.load_csv(tmp_path / "of.csv") == [{"class": text, "x": "-0.5"}]


def test_a_gzip_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "SMALL", 1_000_000)
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"0" * 20_000_000))
    with pytest.raises(InputError, match="decompression bomb"):
        packed.check_gzip(tmp_path / "bomb.csv.gz")
    numbers = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress("\n".join(map(str, numbers)).encode()))
    packed.check_gzip(tmp_path / "table.csv.gz")
    (tmp_path / "none.csv.gz").write_bytes(b"x" * 20_000)
    packed.check_gzip(tmp_path / "none.csv.gz")  # its reader says that it is no gzip


def test_a_parquet_file_of_more_values_than_there_is_room_for_is_refused(tmp_path):
    (tmp_path / "runs.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="are too few; free some"):
        packed.check_room(tmp_path / "runs.parquet", 10**15)
    packed.check_room(tmp_path / "runs.parquet", 10**6)


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "SMALL", 1_000_000)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", b"0" * 20_000_000)
    (tmp_path / "bomb.npz").write_bytes(content.getvalue())
    with pytest.raises(InputError, match="at most 300 times its size"):
        packed.check_zip(tmp_path / "bomb.npz")
    np.savez_compressed(tmp_path / "images.npz", images=np.zeros((10, 8, 8), np.uint8))
    packed.check_zip(tmp_path / "images.npz")


def parquet(path: Path, select: str, options: str = "COMPRESSION zstd") -> Path:
    duckdb.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, {options})")
    return path


def read(path: Path) -> int:
    with read_rows(path) as rows:
        return rows.n_rows


def test_a_parquet_file_of_one_long_text_repeated_is_refused_before_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "SMALL", 10_000_000)
    path = parquet(tmp_path / "of.parquet", "SELECT repeat('a', 100_000) AS a, i AS b FROM range(260) AS t(i)")
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match=r"unpacks to more than 10,000,000, .*: save it as \.csv if you trust it"):
        read(path)
    monkeypatch.setattr(packed, "SMALL", 30_000_000)
    assert read(path) == 260


def test_a_parquet_file_with_a_page_larger_than_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MEMORY", "40MB")
    path = parquet(tmp_path / "of.parquet", "SELECT repeat('a', 1_000_000) || i AS a FROM range(120) AS t(i)")
    assert path.stat().st_size < 1_000_000
    with pytest.raises(InputError, match="takes more than 40MB to read; write it with smaller row groups"):
        read(path)


def test_sorted_categories_are_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "SMALL", 100_000)
    path = parquet(tmp_path / "of.parquet", "SELECT 'category ' || i // 150_000 AS a FROM range(300_000) AS t(i)")
    assert path.stat().st_size * packed.MOST_TIMES < 300_000 * len("category 0")
    assert read(path) == 300_000


def test_texts_of_any_type_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "SMALL", 1_000_000)
    object_ = "('{\"a\": \"' || repeat('a', 20_000) || '\"}')::JSON"
    with pytest.raises(InputError, match="decompression bomb"):
        read(parquet(tmp_path / "of.parquet", f"SELECT {object_} AS a FROM range(200)"))


def test_the_rows_of_a_parquet_file_are_counted_where_they_are_read(tmp_path, monkeypatch):
    """The file's own number of rows, here made 2, may be any: 260 come out."""
    path = parquet(tmp_path / "of.parquet", "SELECT i AS a FROM range(260) AS t(i)")
    content, of_260, of_2 = path.read_bytes(), b"\x88\x04", b"\x84\x00"  # Thrift's variable-length integers
    for at in [i for i in range(len(content)) if content[i : i + 2] == of_260]:
        path.write_bytes(content[:at] + of_2 + content[at + 2 :])
        try:
            told = duckdb.execute(f"SELECT num_rows FROM parquet_file_metadata('{path}')").fetchall()
            n_rows = duckdb.execute(f"SELECT count(a) FROM read_parquet('{path}')").fetchall()
        except duckdb.Error:
            continue
        if told == [(2,)] and n_rows == [(260,)]:
            break
    else:
        pytest.skip("this DuckDB believes the file")
    monkeypatch.setattr(packed, "BYTES", 10**14)
    with pytest.raises(InputError, match="tells of 260 values"):
        read(path)


def test_an_image_that_unpacks_to_far_more_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "SMALL", 1_000_000)
    Image.new("L", (4_000, 4_000)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match="at most 300 times its size is read: scale it down if you trust it"):
        images._header(tmp_path / "bomb.png")
    Image.new("L", (900, 900)).save(tmp_path / "blank.png")
    assert images._header(tmp_path / "blank.png") == ("L", (900, 900))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_names_that_are_paths_or_commands_are_only_data(kind, set_params, workspace):
    rng = np.random.default_rng(0)
    names = [name for name in PATH_TRICKS if "\0" not in name] if kind == "csv" else PATH_TRICKS
    frame = pd.DataFrame({name: rng.normal(size=400) for name in names} | {"y": rng.choice(names, 400)})
    path = workspace / f"my.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    set_params(
        dataset=source_of("table", path=path.name, target="y", n_rows=400, n_test=100, split="random").model_dump()
    )
    before = {file for file in workspace.parent.rglob("*") if not file.is_relative_to(workspace / "data")}
    prepare.main()
    card = artefacts.load_json(PREPARED / "dataset.json")
    assert [column["name"] for column in card["columns"]] == names
    assert sorted(card["classes"]) == sorted(names)
    assert before == {file for file in workspace.parent.rglob("*") if not file.is_relative_to(workspace / "data")}


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_a_field_of_a_megabyte_is_only_data(kind, tmp_path):
    frame = pd.DataFrame({"x": ["a" * 1_000_000, *"bcd" * 100], "y": range(301)})
    path = tmp_path / f"my.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    with read_rows(path) as rows:
        assert rows.values("SELECT strlen(c0) FROM rows ORDER BY c1") == [1_000_000] + [1] * 300
