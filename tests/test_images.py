"""The user's own images: folders and .npz files read, bad ones refused in one line."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from stages.common.errors import InputError
from stages.compose import composing
from stages.contract.dataset import Column
from stages.prepare import __main__ as prepare
from stages.prepare.sources import images
from stages.prepare.tables import split
from tests.conftest import asked_of, source_of

N = 120


def drawn(n: int = N, side: int = 8, colour: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Images that are bright above (class 0) or below (class 1)."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    pixels = random.integers(0, 100, (n, side, side, 3) if colour else (n, side, side), dtype="u1")
    for image, label in zip(pixels, labels, strict=True):
        image[label * side // 2 : (label + 1) * side // 2] += 100
    return pixels, labels


def folder(path: Path, pixels: np.ndarray, labels: np.ndarray, suffix: str = ".png") -> Path:
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        inside = path / "mine" / f"class {label}"
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(inside / f"{i:04}{suffix}")
    return path / "mine"


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "mine.npz", **arrays)  # type: ignore[arg-type]
    return path / "mine.npz"


@pytest.mark.parametrize("colour", [False, True])
def test_a_folder_and_an_npz_of_the_same_images_are_the_same_data(tmp_path, colour):
    pixels, labels = drawn(colour=colour)
    first = images.read(folder(tmp_path, pixels, labels), None)
    second = images.read(npz(tmp_path, x=pixels, y=labels), None)
    assert first.classes == ["class 0", "class 1"]
    assert second.classes == ["0", "1"]
    assert first.pixels.shape == (N, 8, 8, 3 if colour else 1)
    order = np.argsort(labels, kind="stable")
    np.testing.assert_array_equal(first.pixels, second.pixels[order])
    np.testing.assert_array_equal(first.labels, second.labels[order])


def test_images_of_several_sizes_are_scaled_where_a_side_is_given(tmp_path):
    pixels, labels = drawn()
    path = folder(tmp_path, pixels, labels)
    Image.fromarray(drawn(1, 12)[0][0]).save(path / "class 0" / "large.png")
    with pytest.raises(InputError, match=r"images of 2 sizes \(8 x 8 and 12 x 12\); scale them: dataset\.side=32"):
        images.read(path, None)
    assert images.read(path, 6).pixels.shape == (N + 1, 6, 6, 1)
    assert images.read(npz(tmp_path, x=pixels, y=labels), 6).pixels.shape == (N, 6, 6, 1)


def test_one_command_composes_the_study(workspace):
    folder(workspace, *drawn(400))
    text = composing.composed(["dataset=images", "dataset.path=mine"])
    assert "n_rows: 400\n" in text
    assert "n_test: 100\n" in text


def test_copies_shrink_the_largest_size(tmp_path):
    pixels, labels = drawn(400)
    pixels[200:] = pixels[:200]
    path = str(npz(tmp_path, x=pixels, y=labels))
    one = images.measure(asked_of("images", path=path))
    table = images.load(asked_of("images", path=path))
    pool, test = split(table, "random", 100, 0)
    of_test = {pixels[i].tobytes() for i in test}
    n_left = sum(pixels[i].tobytes() not in of_test for i in pool)
    assert 140 < n_left < 220
    assert one["sizes"]["full"][-1] == n_left


def test_what_is_drawn_in_transparency_alone_is_seen(tmp_path):
    pixels, labels = drawn()
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        inside = tmp_path / "mine" / f"class {label}"
        inside.mkdir(parents=True, exist_ok=True)
        black = np.zeros((*image.shape, 3), np.uint8)
        Image.fromarray(np.dstack([black, 255 - image])).save(inside / f"{i:04}.png")
    found = images.read(tmp_path / "mine", None)
    seen = found.pixels[..., 0][np.argsort(found.labels, kind="stable")]
    np.testing.assert_allclose(seen, pixels[np.argsort(labels, kind="stable")], atol=1)


def test_other_files_among_the_images_are_counted(tmp_path):
    path = folder(tmp_path, *drawn())
    (path / "class 0" / "notes.txt").write_text("no image")
    (path / ".hidden").mkdir()
    (path / "class 0" / ".ipynb_checkpoints").mkdir()
    Image.fromarray(X[0]).save(path / "class 0" / ".ipynb_checkpoints" / "copy.png")
    Image.fromarray(X[0]).save(path / "stray.png")
    table = images.load(source_of("images", path=str(path), n_rows=N, n_test=30))
    assert table.dropped == {
        "a file of another kind among the images": 1, "an image beside the folders": 1, "a hidden file": 1,
    }  # fmt: skip
    assert table.n_read == N + 3
    assert table.columns == [Column(name="image", kind="pixels", description="8 x 8, grey", missing=0)]


def broken(path: Path) -> Path:
    found = folder(path, *drawn())
    (found / "class 1" / "0001.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return found


def cut(path: Path) -> Path:
    found = folder(path, *drawn())
    file = found / "class 1" / "0001.png"
    file.write_bytes(file.read_bytes()[:60])
    return found


def with_a_long_comment(path: Path) -> Path:
    found = folder(path, *drawn())
    comment = PngImagePlugin.PngInfo()
    comment.add_text("comment", "0" * 2_000_000, zip=True)  # Pillow unpacks one million characters at most
    Image.fromarray(X[0]).save(found / "class 1" / "0001.png", pnginfo=comment)
    return found


def empty_class(path: Path) -> Path:
    found = folder(path, *drawn())
    (found / "third").mkdir()
    return found


def nothing(path: Path) -> Path:
    (path / "mine").mkdir()
    return path / "mine"


def text_named_npz(path: Path) -> Path:
    (path / "mine.npz").write_text("x,y\n1,2\n")
    return path / "mine.npz"


def with_a_text(path: Path) -> Path:
    with zipfile.ZipFile(npz(path, x=X, y=Y), "a") as archive:
        archive.writestr("readme.txt", "about the images")
    return path / "mine.npz"


X, Y = drawn()
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no such path": (lambda p: p / "mine", "is neither a folder nor an .npz file"),
    "empty folder": (nothing, "holds no folders; put the images of each class into a folder of its own"),
    "empty class": (empty_class, "holds no images"),
    "broken image": (broken, r"0001.png cannot be read as an image \(.*\); mend it or remove it"),
    "cut image": (cut, r"0001.png cannot be read as an image \(.*\); mend it or remove it"),
    "long comment": (with_a_long_comment, r"0001.png cannot be read as an image \(Decompressed data too large"),
    "one class": (lambda p: folder(p, X, Y * 0), r"one class only \('class 0'\)"),
    "rare class": (lambda p: folder(p, X, np.r_[[2] * 9, Y[9:]]), "the class 'class 2' has 9 images"),
    "few images": (lambda p: folder(p, X[:99], Y[:99]), "99 images; at least 100"),
    "large images": (lambda p: npz(p, x=np.zeros((100, 300, 4), "u1"), y=Y[:100]), "300 x 4 exceed 256"),
    "object array": (lambda p: npz(p, x=X, y=Y.astype(object)), "arrays of objects, and to load them is to run"),
    "floats": (lambda p: npz(p, x=X / 255, y=Y), "the images are float64, not uint8"),
    "float labels": (lambda p: npz(p, x=X, y=Y / 2), "the labels are float64"),
    "two arrays of images": (lambda p: npz(p, x=X, y=Y, z=X), "needed are one array of images"),
    "labels missing": (lambda p: npz(p, x=X, y=Y[:-1]), "120 images and 119 labels"),
    "channels first": (lambda p: npz(p, x=np.zeros((120, 3, 8, 8), "u1"), y=Y), "8 channels"),
    "no npz": (text_named_npz, "cannot be read"),
    "a text in the npz": (with_a_text, r"holds 'readme\.txt', which is no array"),
    "labels in latin-1": (lambda p: npz(p, x=X, y=np.where(Y, b"caf\xe9", b"th")), "the labels are not in UTF-8"),
    "16 bits": (lambda p: folder(p, X.astype("u2") * 200, Y), r"0000\.png has more than 8 bits .*\(mode I;16\)"),
    "large files": (lambda p: folder(p, np.zeros((100, 4, 300), "u1"), Y[:100]), "4 x 300 exceed 256; scale them: da"),
}  # fmt: skip


def test_large_images_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = folder(tmp_path, np.zeros((100, 300, 4), "u1"), Y[:100])
    monkeypatch.setattr(images, "_decoded", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match="300 x 4 exceed 256"):
        images.read(path, None)


@pytest.mark.parametrize("case", BAD)
def test_bad_images_are_refused_in_one_line(case, tmp_path):
    make, message = BAD[case]
    path = make(tmp_path)
    with pytest.raises(InputError) as caught:
        images.measure(asked_of("images", path=str(path)))
    assert re.search(message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


def test_a_folder_that_changed_is_told_what_a_changed_table_is(tmp_path, set_params):
    path = folder(tmp_path, *drawn())
    asked = asked_of("images", path=str(path))
    measured = images.measure(asked)
    of_sizes = {key: measured[key] for key in ("n_rows", "n_test", "n_pool", "split")}
    set_params(dataset=source_of("images", path=str(path), **of_sizes).model_dump())
    (path / "class 0" / "0000.png").unlink()
    with pytest.raises(InputError, match=r"n_rows=120, but images has 119 rows; run `python -m stages.compose` again"):
        prepare.main()
