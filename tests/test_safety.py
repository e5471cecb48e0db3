"""A hostile table is only data: formulas, bombs, paths."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from stages.common import artefacts
from stages.common.errors import InputError
from stages.prepare import packed


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
