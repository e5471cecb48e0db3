"""The user's own images: a folder with one folder for each class, or an .npz file with images and labels."""

import hashlib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from stages.common import provenance
from stages.common.artefacts import Json
from stages.common.errors import InputError
from stages.common.features import Features
from stages.contract.dataset import Column
from stages.prepare.packed import check_bytes, check_zip
from stages.prepare.params import Asked
from stages.prepare.sizes import study_of
from stages.prepare.tables import Table

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
MIN_IMAGES, MIN_CLASS_IMAGES, MOST_SIDE = 100, 10, 256


@dataclass(frozen=True)
class Images:
    """pixels: (n, height, width, n_channels) uint8; labels: (n,) int64, index into classes; n_read: files or images."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    sha256: str
    n_read: int
    dropped: dict[str, int] = field(default_factory=dict)


def load(asked: Asked) -> Table:
    """All images in the order of their names; raises InputError for whatever is wrong with them."""
    if asked.path is None:
        raise InputError("dataset.path is missing; name a folder with a folder for each class, or an .npz file")
    path = Path(asked.path)
    images = read(path, asked.side)
    height, width, n_channels = images.pixels.shape[1:]
    colours = "grey" if n_channels == 1 else f"{n_channels} channels"
    return Table(
        title=f"Images of {path.name}",
        source=f"the {'folder' if path.is_dir() else 'file'} {path}",
        licence="as the owner of the images says",
        sha256={"pixels and labels": images.sha256},
        target="the class that the folder names" if path.is_dir() else "the label beside the image",
        classes=images.classes,
        features=Features("images", {"pixels": images.pixels}),
        columns=[Column(name="image", kind="pixels", description=f"{height} x {width}, {colours}", missing=0)],
        labels=images.labels,
        n_read=images.n_read,
        dropped=images.dropped,
    )


def measure(asked: Asked) -> Json:
    """What a study of these images needs in numbers: n_rows, n_test, split, sizes and variance_size by scale."""
    table = load(asked)
    how = asked.split or "random"
    return {"n_rows": len(table.labels), "split": how} | study_of(table, how, asked, str(asked.path))


def read(path: Path, side: int | None) -> Images:
    """The images, each scaled to side x side where `side` is given; else all must be of one size."""
    if path.is_dir():
        pixels, labels, classes, dropped = _read_folder(path, side)
        n_read = sum(file.is_file() for file in path.rglob("*"))
    elif path.suffix.lower() == ".npz" and path.is_file():
        pixels, labels, classes, dropped = *_read_npz(path), {}
        n_read = len(pixels)
        if side is not None:
            pixels = np.stack([_scaled(Image.fromarray(image.squeeze()), side) for image in pixels])
    else:
        remedy = "run `dvc pull`" if provenance.is_tracked(path) else "name one of the two"
        raise InputError(f"dataset.path={str(path)!r} is neither a folder nor an .npz file; {remedy}")
    _check(path, pixels, labels, classes)
    pixels = pixels.reshape(*pixels.shape[:3], -1)
    sha256 = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    return Images(np.ascontiguousarray(pixels), labels, classes, sha256, n_read, dropped)


def _check(path: Path, pixels: NDArray[np.uint8], labels: NDArray[np.int64], classes: list[str]) -> None:
    if len(labels) < MIN_IMAGES:
        raise InputError(f"{path} has {len(labels)} images; at least {MIN_IMAGES} are needed")
    if len(classes) < 2:
        raise InputError(f"{path} has one class only ({classes[0]!r}); bring two or more")
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < MIN_CLASS_IMAGES:
        rare = int(counts.argmin())
        least = f"at least {MIN_CLASS_IMAGES} are needed"
        raise InputError(f"{path}: the class {classes[rare]!r} has {counts[rare]} images; {least}, or leave it out")
    _check_side(path, *pixels.shape[1:3])


def _check_side(path: Path, height: int, width: int) -> None:
    if max(height, width) > MOST_SIDE:
        raise InputError(f"{path}: images of {height} x {width} exceed {MOST_SIDE}; scale them: dataset.side=64")


def _read_folder(
    path: Path, side: int | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str], dict[str, int]]:
    classes = sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise InputError(f"{path} holds no folders; put the images of each class into a folder of its own")
    files, labels = [], []
    seen = [p for p in path.rglob("*") if p.is_file()]
    shown = [p for p in seen if not any(part.startswith(".") for part in p.relative_to(path).parts)]
    n_images = sum(p.suffix.lower() in SUFFIXES for p in shown)
    for label, name in enumerate(classes):
        images = sorted(p for p in shown if p.is_relative_to(path / name) and p.suffix.lower() in SUFFIXES)
        if not images:
            raise InputError(f"{path / name} holds no images ({', '.join(SUFFIXES)}); fill it or remove it")
        files += images
        labels += [label] * len(images)
    headers = {file: _header(file) for file in files}
    mode = "L" if all(mode in ("1", "L", "LA") for mode, _ in headers.values()) else "RGB"
    if side is None and len(sizes := {size for _, size in headers.values()}) > 1:
        example = " and ".join(f"{w} x {h}" for w, h in sorted(sizes)[:2])
        raise InputError(f"{path}: images of {len(sizes)} sizes ({example}); scale them: dataset.side=32")
    width, height = (side, side) if side else headers[files[0]][1]
    _check_side(path, height, width)
    pixels = np.empty((len(files), height, width) if mode == "L" else (len(files), height, width, 3), np.uint8)
    for i, file in enumerate(files):
        pixels[i] = _decoded(file, mode, side)
    dropped = {
        "a file of another kind among the images": len(shown) - n_images,
        "an image beside the folders": n_images - len(files),
        "a hidden file": len(seen) - len(shown),
    }
    return pixels, np.array(labels, np.int64), classes, {why: n for why, n in dropped.items() if n}


def _header(file: Path) -> tuple[str, tuple[int, int]]:
    try:
        with Image.open(file) as image:
            mode, size, n_bands = image.mode, image.size, len(image.getbands())
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{file} cannot be read as an image ({_one_line(error)}); mend it or remove it") from None
    if mode.startswith(("I", "F")):  # would be clipped at 255
        raise InputError(f"{file} has more than 8 bits a channel (mode {mode}); save it with brightness from 0 to 255")
    check_bytes(file, size[0] * size[1] * n_bands, "scale it down")
    return mode, size


def _decoded(file: Path, mode: str, side: int | None) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:  # as it looks on white
                on_white = Image.new("RGBA", image.size, "white")
                on_white.alpha_composite(image.convert("RGBA"))
                converted = on_white.convert(mode)
            else:
                converted = image.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{file} cannot be read as an image ({_one_line(error)}); mend it or remove it") from None
    return np.asarray(converted) if side is None else _scaled(converted, side)


def _scaled(image: Image.Image, side: int) -> NDArray[np.uint8]:
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def _read_npz(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} cannot be read: it is no archive of arrays; write it with numpy.savez")
    check_zip(path)
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise InputError(f"{path} cannot be read: {_one_line(error)}") from None
        remedy = "save images as uint8 and labels as numbers or text"
        raise InputError(f"{path} holds arrays of objects, and to load them is to run their code; {remedy}") from None
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read: {_one_line(error)}") from None
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise InputError(f"{path} holds {others[0]!r}, which is no array; write it with numpy.savez")
    images = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    labels = [name for name, array in arrays.items() if array.ndim == 1]
    if len(images) != 1 or len(labels) != 1 or len(arrays) != 2:
        what = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        needed = "one array of images (n, height, width[, channels]) and one of labels (n,)"
        raise InputError(f"{path} holds {what}; needed are {needed}")
    pixels, named = arrays[images[0]], arrays[labels[0]]
    if pixels.dtype != np.uint8:
        raise InputError(f"{path}: the images are {pixels.dtype}, not uint8; save brightness from 0 to 255 as uint8")
    if pixels.ndim == 4 and pixels.shape[3] not in (1, 3):
        raise InputError(f"{path}: {pixels.shape[3]} channels in {pixels.shape}; the last axis must be 1 or 3 channels")
    if len(pixels) != len(named):
        raise InputError(f"{path}: {len(pixels)} images and {len(named)} labels; bring one label per image")
    if named.dtype.kind not in "biuUS":
        raise InputError(f"{path}: the labels are {named.dtype}; bring whole numbers or text")
    if not pixels.size:
        raise InputError(f"{path} has no images; at least {MIN_IMAGES} are needed")
    if named.dtype.kind == "S":
        try:
            named = np.char.decode(named, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: the labels are not in UTF-8 ({error.reason}); save them as text") from None
    classes, ids = np.unique(named, return_inverse=True)
    return pixels, ids.astype(np.int64), [str(value) for value in classes.tolist()]


def _one_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
