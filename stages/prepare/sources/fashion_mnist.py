"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747): 70,000 images of clothes, 28 x 28 grey pixels.

From the four idx files in data/raw/fashion-mnist or of Debian's package dataset-fashion-mnist, or else from OpenML,
whichever is there. The images are put in order, so that the same ones give the same bytes wherever they came from.
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.features import Features
from stages.contract.dataset import Column
from stages.prepare.params import Source
from stages.prepare.sources import openml
from stages.prepare.tables import Table

FOLDERS = (Path("data/raw/fashion-mnist"), Path("/usr/share/datasets/fashion-mnist"))
PARTS = ("train", "t10k")
OPENML = 40996
SHA256 = "6aaa24bfc61324af6024f43fdeff98efb44fb244ecddf9ec30cec6a275b71247"  # of images and labels, in order
CLASSES = ["T-shirt or top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
SIDE = 28
MOST = 16 + 60_000 * SIDE * SIDE  # bytes of the largest file, the training images


def load(_: Source) -> Table:
    """All 70,000 images in the order of their bytes; raises InputError where none are found or they are other ones."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    pixels, labels = from_idx(folder) if folder else from_openml()
    pixels, labels = in_order(pixels, labels)
    found = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    if found != SHA256:
        origin = folder or f"OpenML {OPENML}"
        raise InputError(f"Fashion-MNIST from {origin} has sha256 {found[:12]}..., not {SHA256[:12]}...; fetch it anew")
    return Table(
        title="Fashion-MNIST: images of clothes",
        source="Zalando Research 2017, github.com/zalandoresearch/fashion-mnist: training and test images together",
        licence="MIT",
        sha256={"images and labels, in the order of their bytes": SHA256},
        target="what the image shows",
        classes=CLASSES,
        features=Features("images", {"pixels": pixels.reshape(-1, SIDE, SIDE, 1)}),
        columns=[Column(name="image", kind="pixels", description="28 x 28, brightness to 255", missing=0)],
        labels=labels.astype(np.int64),
        n_read=len(pixels),
    )


def in_order(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Rows by their bytes, the label last: pixels (n, SIDE * SIDE), labels (n,)."""
    rows = np.ascontiguousarray(np.column_stack([pixels, labels]))
    rows = rows[np.argsort(rows.view(f"S{rows.shape[1]}").ravel(), kind="stable")]
    return np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, -1])


def from_idx(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images = [read_idx(folder / f"{part}-images-idx3-ubyte") for part in PARTS]
    labels = [read_idx(folder / f"{part}-labels-idx1-ubyte") for part in PARTS]
    return np.concatenate(images).reshape(-1, SIDE * SIDE), np.concatenate(labels)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an idx file, plain or gzipped: two zero bytes, 8 for uint8, the number of axes, their lengths.

    Raises InputError where it is missing, no such file, or holds more than MOST bytes, of which it reads no more.
    """
    packed = path.with_name(f"{path.name}.gz")
    if not path.is_file() and not packed.is_file():
        raise InputError(f"{path}[.gz] is missing; all four idx files of Fashion-MNIST are needed")
    try:
        with path.open("rb") if path.is_file() else gzip.open(packed) as file:
            content = file.read(MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{packed} cannot be read: {error}") from None
    if len(content) > MOST:
        raise InputError(f"{path} holds more than the {MOST:,} bytes of Fashion-MNIST's largest file; fetch it anew")
    n_axes = content[3] if len(content) > 3 else 0
    lengths = content[4 : 4 + 4 * n_axes]
    shape = np.frombuffer(lengths[: len(lengths) // 4 * 4], ">u4").tolist()
    if content[:3] != b"\0\0\x08" or len(content) != 4 + 4 * n_axes + math.prod(shape):
        raise InputError(f"{path} is no idx file of bytes, or cut short; fetch it anew")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def from_openml() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        frame = openml.fetch(OPENML).frame
    except InputError as error:
        remedy = f"or put the idx files into {FOLDERS[0]}, or `apt install dataset-fashion-mnist`"
        raise InputError(f"no idx files of Fashion-MNIST, and {error} {remedy}") from None
    return frame.iloc[:, :-1].to_numpy(np.uint8), frame.iloc[:, -1].astype(int).to_numpy(np.uint8)
