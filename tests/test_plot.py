"""Figures and page: what stands in them, whatever names the data have, and whether it can be seen."""

import itertools
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from stages.evaluate.__main__ import main as evaluate
from stages.plot.__main__ import main as plot
from stages.plot.figures.all import ALL
from stages.plot.figures.drawing import STYLE, spread
from stages.plot.figures.looks import DARK, GRID, INK, NETWORKS, PAPER, SOFT, TRADITIONAL, looks_of
from tests.planted import Planted, power, write

NASTY = '<script>alert("x")</script> & $x_1$ | `a` ' + "long" * 30
SIZES = (512, 1024, 2048, 4096, 8192, 16384)
DEUTERANOPIA = np.array([  # Machado, Oliveira and Fernandes (2009), severity 1, of linear RGB
    [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
])  # fmt: skip


@pytest.mark.parametrize("places", [[0, 1, 2, 50], [100, 99, 98], [5, 5, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]])
def test_labels_stand_apart_in_order_and_inside(places):
    moved = spread(places, 10, 0, 100)
    assert min(moved) >= 0
    assert max(moved) <= 100
    ordered = [moved[i] for i in np.argsort(places, kind="stable")]
    assert all(after - before >= 10 - 1e-9 for before, after in itertools.pairwise(ordered))


def test_labels_that_stand_apart_are_not_moved():
    assert spread([10, 50, 90], 10, 0, 100) == [10, 50, 90]


def linear(color: str) -> np.ndarray:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(color: str) -> float:
    return float(linear(color) @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def lightness(y: float) -> float:
    """CIE L*, 0 to 100."""
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_every_label_and_line_can_be_seen_in_both_themes():
    for color in (INK, SOFT, *NETWORKS, *TRADITIONAL):
        assert contrast(color, PAPER) >= 4.5, color
        assert contrast(DARK[color], DARK[PAPER]) >= 4.5, DARK[color]
    with matplotlib.rc_context(fname=STYLE):
        said = matplotlib.rcParams
        for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"):
            assert f"#{said[name]}".replace("##", "#") in (INK, SOFT)
        assert contrast(f"#{said['figure.facecolor']}".replace("##", "#"), PAPER) == 1


def test_learners_are_told_apart_in_grey_and_without_green():
    labels = {f"t{i}": "" for i in range(len(TRADITIONAL))} | {f"n{i}": "" for i in range(len(NETWORKS))}
    looks = looks_of(labels, [name for name in labels if name[0] == "n"], {})
    for theme in (lambda color: color, DARK.__getitem__):
        for a, b in itertools.combinations(looks.values(), 2):
            grey = abs(lightness(luminance(theme(a.color))) - lightness(luminance(theme(b.color))))
            seen = [np.clip(DEUTERANOPIA @ linear(theme(look.color)), 0, 1) for look in (a, b)]
            of_a, of_b = (lightness(float(color @ [0.2126, 0.7152, 0.0722])) for color in seen)
            apart = abs(of_a - of_b)
            assert a.dashes != b.dashes or (min(grey, apart) >= 8 and abs(a.width - b.width) >= 0.5), (a, b)


@pytest.fixture
def drawn(set_params, default_params):
    """A study of a title that nobody would give to their data."""
    sizes = SIZES
    curves = {"simple": [0.8] * 6, "forest": power(sizes, 0.03, 0.3, 0.4), "small_nn": power(sizes, 0.06, 0.3, 0.4),
              "large_nn": power(sizes, 0.05, 0.3, 0.4)}  # fmt: skip
    planted = Planted(sizes, curves, {"small_nn": 100, "large_nn": 1000}, title=NASTY)
    params = write(planted, default_params)
    set_params(**params)
    evaluate()
    plot()
    return params


def test_the_page_stands_alone_and_shows_names_as_text(drawn):
    page = Path("results/report.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1  # its own
    assert page.count("&lt;script&gt;") >= 3
    assert not re.search(r'src=|href="(?!#|\.\./benchmarks/README\.md")', re.sub(r'xmlns(:xlink)?="[^"]*"', "", page))
    assert len(page) < 2_000_000
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert re.search(r"#[0-9a-f]{6}", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)) is None
    markdown = Path("results/report.md").read_text(encoding="utf-8")
    assert r"\<script\>" in markdown
    assert "<script>" not in markdown


def test_every_figure_has_its_files_with_real_text_and_says_what_it_shows(drawn):
    names = {path.name for path in Path("results/figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in ALL for kind in ("svg", "png")}
    for name in ALL:
        svg = Path(f"results/figures/{name}.svg").read_text(encoding="utf-8")
        assert svg.count("<title>") == svg.count("<desc>") == 1
        (found,) = re.findall(r"<desc>(.*?)</desc>", svg, re.DOTALL)
        assert len(found) > 20
        assert re.findall(r"<text[^>]*>[^<]+</text>", svg)
    performance = Path("results/figures/performance.svg").read_text(encoding="utf-8")
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", performance)
    assert {"Forest", "Small network", "Large network", "Simple", "Accuracy", "guessing: 0.5000"} <= set(texts)
    assert {"512", "1k", "16k"} <= set(texts)
    assert any(text.startswith("flattens") for text in texts)


def test_the_same_results_give_the_same_bytes_and_a_colour_changes_them(drawn, set_params):
    paths = [*Path("results/figures").iterdir(), Path("results/report.html"), Path("results/report.json")]
    before = {path: path.read_bytes() for path in paths}
    plot()
    assert {path: path.read_bytes() for path in before} == before
    set_params(**drawn | {"plot": {"language": "en", "colors": {"forest": "#aa0000"}}})
    plot()
    assert Path("results/figures/performance.svg").read_bytes() != before[Path("results/figures/performance.svg")]


def test_the_answer_in_the_terminal_is_short(drawn):
    lines = Path("results/answer.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 9  # make repro adds where the report is
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("More labels will probably help.")


def test_grid_lines_are_fainter_than_lines():
    assert contrast(GRID, PAPER) < 3
