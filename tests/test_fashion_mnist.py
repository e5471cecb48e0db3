"""Fashion-MNIST: idx files read, the same bytes from every source, anything else refused."""

import gzip
import struct
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stages.common.errors import InputError
from stages.prepare.sources import fashion_mnist, openml
from tests.conftest import source_of

DEBIAN = fashion_mnist.FOLDERS[1]


def write_idx(path: Path, array: np.ndarray, packed: bool) -> None:
    content = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    (path.with_name(f"{path.name}.gz") if packed else path).write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def idx(tmp_path, monkeypatch) -> Path:
    """A small set in the four files, and no other folder to look in."""
    random = np.random.default_rng(0)
    for part, n, packed in (("train", 60, True), ("t10k", 20, False)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", random.integers(256, size=(n, 28, 28), dtype="u1"), packed)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", random.integers(10, size=n, dtype="u1"), packed)
    monkeypatch.setattr(fashion_mnist, "FOLDERS", (tmp_path,))
    return tmp_path


def test_openml_and_idx_files_give_the_same_rows_in_the_same_order(idx, monkeypatch):
    pixels, labels = fashion_mnist.from_idx(idx)
    order = np.random.default_rng(1).permutation(len(labels))
    frame = pd.DataFrame(pixels[order]).assign(label=pd.Categorical(labels[order].astype(str)))
    monkeypatch.setattr(openml, "fetch", lambda number: SimpleNamespace(frame=frame))
    for a, b in zip(
        fashion_mnist.in_order(*fashion_mnist.from_openml()), fashion_mnist.in_order(pixels, labels), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_other_bytes_are_refused(idx):
    with pytest.raises(InputError, match=r"sha256 .* not 6aaa24bfc613.*; fetch it anew"):
        fashion_mnist.load(source_of("fashion_mnist"))


def test_a_missing_a_broken_and_a_cut_file_are_refused(idx):
    path = idx / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="cut short"):
        fashion_mnist.from_idx(idx)
    path.unlink()
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\[\.gz\] is missing"):
        fashion_mnist.from_idx(idx)
    path.with_name(f"{path.name}.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="cannot be read"):
        fashion_mnist.from_idx(idx)


@pytest.mark.parametrize("is_packed", [True, False])
def test_no_more_is_read_than_the_largest_file_holds(idx, is_packed, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "MOST", 60_000)
    path = idx / "train-images-idx3-ubyte"
    assert fashion_mnist.read_idx(path).shape == (60, 28, 28)  # 47,056 bytes
    path.with_name(f"{path.name}.gz").unlink()
    write_idx(path, np.zeros((20_000, 28, 28), "u1"), is_packed)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"holds more than the 60,000 bytes of .*; fetch it anew"):
        fashion_mnist.read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000  # of 15,680,000
    tracemalloc.stop()


@pytest.mark.parametrize("header", [b"", b"\0\0\x08\x02\0\0", b"\0\0\x08\x04" + b"\x00\x01\0\0" * 4])
def test_a_header_that_is_cut_or_tells_of_2_to_the_64_bytes_is_refused(idx, header):
    (idx / "t10k-labels-idx1-ubyte").write_bytes(header)
    with pytest.raises(InputError, match="cut short"):
        fashion_mnist.from_idx(idx)


def test_without_files_and_network_the_line_names_every_remedy(monkeypatch, tmp_path):
    def no_network(number: int) -> None:
        raise InputError(f"OpenML's data set {number} cannot be fetched (no route); is there a network?")

    monkeypatch.setattr(fashion_mnist, "FOLDERS", (tmp_path / "none",))
    monkeypatch.setattr(openml, "fetch", no_network)
    with pytest.raises(InputError, match=r"40996.*is there a network\? or put the idx files.*apt install"):
        fashion_mnist.load(source_of("fashion_mnist"))


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"{DEBIAN} is absent: apt install dataset-fashion-mnist")
def test_debian_s_files_are_the_published_ones():
    table = fashion_mnist.load(source_of("fashion_mnist"))
    assert table.features.blocks["pixels"].shape == (70_000, 28, 28, 1)
    assert np.bincount(table.labels).tolist() == [7000] * 10
