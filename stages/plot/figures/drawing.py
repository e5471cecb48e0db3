"""What figures share: two layouts, labels beside lines, and how a drawing becomes SVG and PNG."""

import importlib.util
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from stages.common.errors import InputError
from stages.plot.figures.looks import DARK, SOFT, Look, variable
from stages.plot.language import Words, columns, short
from stages.plot.results import Curve
from stages.plot.story.measured import Measured

STYLE = Path(__file__).with_name("style.mplstyle")
HANGUL = ("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Apple SD Gothic Neo", "Malgun Gothic", "UnDotum")


@dataclass(frozen=True)
class Layout:
    """width, height: inches of a drawing of the usual shape."""

    name: str
    width: float
    height: float

    @property
    def is_narrow(self) -> bool:
        return self.name == "narrow"


WIDE, NARROW = Layout("wide", 7.4, 4.3), Layout("narrow", 3.7, 4.0)


@dataclass(frozen=True)
class Pen:
    """All that a figure is drawn with."""

    of: Measured
    words: Words
    looks: dict[str, Look]
    layout: Layout

    def blank(self, height: float = 1.0, n_columns: int = 1, n_rows: int = 1) -> tuple[Figure, list[Axes]]:
        """height: as a multiple of the layout's."""
        size = (self.layout.width, self.layout.height * height)
        figure, axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False)
        return figure, list(axes.ravel())

    @property
    def label(self) -> str:
        return self.of.metric


MORE: dict[str, Callable[[Pen], Figure]] = {}


def figure(draw: Callable[[Pen], Figure]) -> Callable[[Pen], Figure]:
    """Adds a figure after the report's own: its name is that of its files, the first line of its docstring the title,
    and the rest what it shows."""
    MORE[draw.__name__] = draw
    return draw


def families(language: str) -> list[str]:
    """Fonts to draw with; raises InputError where none of this machine's shows the language."""
    if language != "ko":
        return ["DejaVu Sans", "sans-serif"]
    package = importlib.util.find_spec("koreanize_matplotlib")  # not imported: it changes matplotlib's settings
    if package and package.origin:
        for path in sorted((Path(package.origin).parent / "fonts").glob("*.ttf")):
            font_manager.fontManager.addfont(path)
    known = {font.name for font in font_manager.fontManager.ttflist}
    found = [name for name in HANGUL if name in known]
    if not found:
        raise InputError(
            "plot.language=ko: no font of this machine shows Korean; pip install koreanize-matplotlib, or install "
            "NanumGothic (Debian: fonts-nanum)"
        )
    return [found[0], "DejaVu Sans", "sans-serif"]


def draw_curve(axes: Axes, curve: Curve, look: Look, has_ends: bool = True) -> None:
    """A line through the means, hollow points where a cell is marked, whiskers of the band at both ends."""
    axes.plot(curve.x, curve.mean, color=look.color, linewidth=look.width, linestyle=look.linestyle)
    for x, y, is_marked in zip(curve.x, curve.mean, curve.is_marked, strict=True):
        axes.plot([x], [y], marker=look.marker, markersize=4.2, color=look.color, linestyle="none",
                  markerfacecolor="#ffffff" if is_marked else look.color)  # fmt: skip
    if has_ends:
        for i in {0, len(curve.x) - 1}:
            axes.plot([curve.x[i]] * 2, [curve.low[i], curve.high[i]], color=look.color, linewidth=1.0, alpha=0.8)


def size_axis(axes: Axes, sizes: Sequence[float], label: str, is_narrow: bool) -> None:
    """Numbers of labels on a logarithmic axis: 1k .. 64k, on a narrow drawing every other one where there are many."""
    axes.set_xscale("log", base=2)
    shown = sorted(sizes)
    most = 5 if is_narrow else 9
    while len(shown) > most:
        shown = shown[::-1][::2][::-1]
    axes.set_xticks(shown, [short(n) for n in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def plain_y(axes: Axes) -> None:
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def name_ends(axes: Axes, ends: Sequence[tuple[str, float]], looks: dict[str, Look], is_narrow: bool) -> None:
    """Names right of the lines' ends, (learner, value), moved apart where they would overlap."""
    axes.figure.canvas.draw()
    box, dpi = axes.get_window_extent(), axes.figure.dpi
    lines = {name: _wrapped(looks[name].label, is_narrow) for name, _ in ends}
    gap = 13.5 * max(label.count("\n") + 1 for label in lines.values()) * dpi / 72 if lines else 0
    places = spread([axes.transData.transform((1, value))[1] - box.y0 for _, value in ends], gap, 0, box.height)
    for (name, value), place in zip(ends, places, strict=True):
        axes.annotate(lines[name], (1, value), xycoords=("axes fraction", "data"), xytext=(1.035, place / box.height),
                      textcoords="axes fraction", color=looks[name].color, va="center", parse_math=False,
                      fontweight="bold" if not is_narrow else "normal", linespacing=1.0, annotation_clip=False,
                      arrowprops={"arrowstyle": "-", "color": looks[name].color, "linewidth": 0.8, "relpos": (0, 0.5),
                                  "shrinkA": 1, "shrinkB": 1})  # fmt: skip


def _wrapped(label: str, is_narrow: bool) -> str:
    """In as many lines as it needs, four at most, and cut where it is longer than any name should be."""
    most = 13 if is_narrow else 20
    lines = folded(label, most)
    lines = [
        line if columns(line) <= most + 3 else f"{line[: most // (columns(line) // len(line))]}…" for line in lines
    ]
    return "\n".join(lines if len(lines) <= 4 else [*lines[:3], f"{lines[3]}…"])


def folded(label: str, most: int) -> list[str]:
    """Its words in lines of so many columns, where a word is no longer than that."""
    lines = [""]
    for word in label.split(" "):
        if lines[-1] and columns(f"{lines[-1]} {word}") > most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places moved as little as needed, in their order, to stand `gap` apart within [low, high] if they fit."""
    order = np.argsort(places, kind="stable")
    moved = [max(low, min(high, places[i])) for i in order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    if moved and moved[-1] > high:
        moved[-1] = high
        for i in range(len(moved) - 2, -1, -1):
            moved[i] = min(moved[i], moved[i + 1] - gap)
    result = [0.0] * len(places)
    for i, place in zip(order, moved, strict=True):
        result[i] = float(place)
    return result


def fit_height(axes: Axes, means: Sequence[float], bands: Sequence[float], is_log: bool = False) -> None:
    """Limits where the curves are; a band widens them by a third of the means' range at most, then it is cut."""
    middle, ends = (
        np.array([v for v in values if np.isfinite(v) and (v > 0 or not is_log)]) for values in (means, bands)
    )
    if not len(middle):
        return
    middle, ends = (np.log(v) if is_log else v for v in (middle, ends))
    room = max((middle.max() - middle.min()) / 3, 1e-3)
    low = max(middle.min() - room, min(ends.min(initial=middle.min()), middle.min()))
    high = min(middle.max() + room, max(ends.max(initial=middle.max()), middle.max()))
    margin = 0.05 * (high - low) + 1e-6
    limits = np.array([low - margin, high + margin])
    axes.set_ylim(*(np.exp(limits) if is_log else limits))


def note(figure: Figure, text: str) -> None:
    """A line beneath the drawing, at its left."""
    figure.text(0.01, 0.015, text, color=SOFT, parse_math=False, ha="left", va="bottom")


def svg_of(figure: Figure, title: str, found: str) -> str:
    """The drawing as SVG with real text, its title and what it shows; the same drawing gives the same bytes."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    head = f"<title>{escape(title)}</title>\n<desc>{escape(found)}</desc>\n"
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", text.getvalue(), flags=re.DOTALL)
    return re.sub(r"(<svg [^>]*>)\s*", lambda match: f"{match[1]}\n{head}", svg, count=1)


def png_of(figure: Figure) -> bytes:
    image = io.BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    return image.getvalue()


def inline(svg: str, name: str) -> str:
    """To stand in a page: ids of its own, colours by the names of the page's theme, without what only a file needs."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r"<svg ([^>]*)>", lambda m: _opened(m[1], name), svg, count=1)
    svg = svg.replace("<title>", f'<title id="{name}-title">', 1).replace("<desc>", f'<desc id="{name}-desc">', 1)
    for light in DARK:
        svg = svg.replace(light, f"var({variable(light)})")
    return svg


def _opened(attributes: str, name: str) -> str:
    kept = re.search(r'viewBox="[^"]*"', attributes)
    box = kept[0] if kept else ""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {spaces} {box} role="img" aria-labelledby="{name}-title {name}-desc">'
