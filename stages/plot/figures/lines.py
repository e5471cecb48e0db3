"""Lines: the chapter's picture beside the chapter's own sketch, and error against labels."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from stages.plot.figures.drawing import Pen, draw_curve, fit_height, name_ends, note, plain_y, size_axis
from stages.plot.figures.looks import GRID, NETWORKS, SOFT, TRADITIONAL
from stages.plot.language import capital, confidence, count, short, value
from stages.plot.results import Curve
from stages.plot.story.forecasts import simple_of

FEW = 5  # replicates, up to which they are drawn as points
DECADES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def performance(pen: Pen) -> Figure:
    """The chapter's picture, and two places to look at: where the simple one flattens, where a network overtakes."""
    figure, (axes,) = pen.blank()
    results = pen.of.results
    curves = results.curves(results.metric)
    for curve in curves:
        draw_curve(axes, curve, pen.looks[curve.learner])
        draw_replicates(axes, curve, pen)
    size_axis(axes, pen.of.sizes, pen.words("figures.performance.x"), pen.layout.is_narrow)
    axes.set_title(pen.label, loc="left", color=SOFT)
    fit_height(axes, *_values(curves))
    plain_y(axes)
    leave_room(figure, pen)
    mark_places(axes, curves, pen)
    name_ends(axes, [(curve.learner, curve.mean[-1]) for curve in curves], pen.looks, pen.layout.is_narrow)
    note(figure, pen.words("figures.performance.chance", chance=value(results.chance[results.metric])))
    return figure


def performance_found(pen: Pen) -> str:
    last = pen.of.sizes[-1]
    means = pen.of.means(last)
    if not means:
        return pen.words("headline.failed")
    (best, top), *others = means.items()
    name = "figures.performance.found" if others else "figures.performance.alone"
    found = pen.words(name, n=count(last), best=pen.words.named(best), value=value(top),
                      order=", ".join(pen.words.named(other) for other, _ in others))  # fmt: skip
    return f"{found} {_bands(pen)}"


def _bands(pen: Pen) -> str:
    return pen.words("figures.performance.bands", confidence=confidence(pen.of.summary["confidence"]))


def draw_replicates(axes: Axes, curve: Curve, pen: Pen) -> None:
    """Single replicates as faint points where there are few."""
    of_learner = pen.of.shapes["replicates"].get(curve.learner, {})
    for n, values in of_learner.items():
        if 1 < len(values) <= FEW:
            axes.plot([int(n)] * len(values), values, marker=".", markersize=2.6, linestyle="none", alpha=0.45,
                      color=pen.looks[curve.learner].color)  # fmt: skip


def flattens_at(pen: Pen) -> tuple[str, int] | None:
    """The simple learner and the size from which on no doubling brings it the least gain, where it clearly flattens."""
    claim = next((claim for claim in pen.of.claims if claim.id == "plateau"), None)
    if claim is None or claim.verdict != "supported" or claim.evidence.learner is None:
        return None
    learner = claim.evidence.learner
    curve = next((c for c in pen.of.results.curves(pen.of.results.metric) if c.learner == learner), None)
    if curve is None or len(curve.x) < 2:
        return None
    steps = np.abs(np.diff(curve.mean)) / np.diff(np.log2(curve.x))
    place = len(steps)
    while place and steps[place - 1] < pen.of.least:
        place -= 1
    return (learner, int(curve.x[place])) if place < len(steps) else None


def overtakes_at(pen: Pen) -> tuple[str, str, int, int] | None:
    """The largest network, the simple learner, and the sizes between which the one overtakes the other for good."""
    network = pen.of.networks[-1] if pen.of.networks else ""
    simple, level = simple_of(pen.of), pen.of.summary["confidence"]
    for item in pen.of.shapes["overtakes"]:
        n = item["n_labels"]
        if (
            (item["network"], item["other"]) == (network, simple)
            and n
            and n > item["smallest"]
            and item["probability"] >= level
        ):
            after = min(size for size in pen.of.sizes if size >= n)
            return network, simple, max(size for size in pen.of.sizes if size < after), after
    return None


def mark_places(axes: Axes, curves: list[Curve], pen: Pen) -> None:
    """The two places, by rule, each with its words near the line."""
    by_name = {curve.learner: curve for curve in curves}
    height = abs(axes.get_ylim()[1] - axes.get_ylim()[0])
    if (flat := flattens_at(pen)) is not None:
        learner, n = flat
        y = by_name[learner].mean[list(by_name[learner].x).index(n)]
        axes.annotate(pen.words("figures.performance.flattens"), (n, y), (n, y - 0.13 * height), color=SOFT,
                      ha="left" if n == pen.of.sizes[0] else "center", va="top",
                      arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.8, "shrinkB": 4})  # fmt: skip
    if (found := overtakes_at(pen)) is not None:
        network, simple, low, high = found
        told = pen.words(
            "figures.performance.overtakes",
            network=pen.words.learner(network),
            other=pen.words.learner(simple),
            low=short(low),
            high=short(high),
        )
        axes.axvspan(low, high, color=GRID, alpha=0.45, linewidth=0)
        is_left = low * high <= pen.of.sizes[0] * pen.of.sizes[-1]  # of the middle of the axis
        axes.text(low if is_left else high, 1.0, textwrap.fill(told, 22 if pen.layout.is_narrow else 40), color=SOFT,
                  ha="left" if is_left else "right", va="top", parse_math=False,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def sketch(pen: Pen) -> Figure:
    """The chapter's own picture, redrawn: what is promised."""
    figure, (axes,) = pen.blank(0.8)
    if not pen.layout.is_narrow:
        figure.set_size_inches(2.9, pen.layout.height)
    x = np.linspace(0, 1, 60)
    names = ("large", "medium", "small", "traditional")
    colors = (NETWORKS[2], NETWORKS[1], NETWORKS[0], TRADITIONAL[0])
    for i, (name, color) in enumerate(zip(names, colors, strict=True)):
        y = (0.98 - 0.2 * i) * (1 - np.exp(-x * (2.2 + 0.9 * i))) / (1 - np.exp(-(2.2 + 0.9 * i)))
        is_network = name != "traditional"
        axes.plot(x, y, color=color, linewidth=3 - 0.6 * i if is_network else 1.8,
                  linestyle="solid" if is_network else (0, (4.0, 1.6)))  # fmt: skip
        axes.text(1.03, y[-1], capital(pen.words(f"figures.sketch.{name}")), color=color, ha="left", va="center",
                  parse_math=False)  # fmt: skip
    axes.set(xticks=[], yticks=[], xlim=(0, 2.05), ylim=(0, 1.08))
    axes.set_xlabel(pen.words("figures.sketch.x") + " →")
    axes.set_title(pen.words("figures.sketch.y"), loc="left", color=SOFT)
    figure.subplots_adjust(left=0.04, right=0.98, bottom=0.14, top=0.9)
    return figure


def error(pen: Pen) -> Figure:
    """A power law is a straight line."""
    figure, (axes,) = pen.blank()
    curves = pen.of.results.curves("error")
    for curve in curves:
        draw_curve(axes, curve, pen.looks[curve.learner])
    size_axis(axes, pen.of.sizes, pen.words("figures.performance.x"), pen.layout.is_narrow)
    log_error(axes, curves, pen)
    leave_room(figure, pen)
    name_ends(axes, [(curve.learner, curve.mean[-1]) for curve in curves], pen.looks, pen.layout.is_narrow)
    note(figure, pen.words("figures.performance.chance", chance=value(pen.of.results.chance["error"])))
    return figure


def error_found(pen: Pen) -> str:
    last = [(curve.mean[-1], curve.learner) for curve in pen.of.results.curves("error")
            if curve.x[-1] == pen.of.sizes[-1]]  # fmt: skip
    if not last:
        return pen.words("headline.failed")
    lowest, best = min(last)
    n = count(pen.of.sizes[-1])
    found = pen.words("figures.error.found", n=n, value=value(lowest), best=pen.words.learner(best))
    return f"{found} {_bands(pen)}"


def leave_room(figure: Figure, pen: Pen) -> None:
    """For names right of the lines, the axis below and a note under it."""
    figure.subplots_adjust(left=0.15 if pen.layout.is_narrow else 0.085, right=0.7 if pen.layout.is_narrow else 0.765,
                           bottom=0.19, top=0.92)  # fmt: skip


def log_error(axes: Axes, curves: list[Curve], pen: Pen) -> None:
    axes.set_yscale("log")
    means, bands = _values(curves)
    fit_height(axes, means, bands, is_log=True)
    plain_y(axes)
    low, high = axes.get_ylim()
    if high < 4 * low:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    else:
        axes.set_yticks([tick for tick in DECADES if low <= tick <= high])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.set_title(capital(pen.words("figures.error.y")), loc="left", color=SOFT)


def _values(curves: list[Curve]) -> tuple[list[float], list[float]]:
    return (
        [v for curve in curves for v in curve.mean],
        [v for curve in curves for v in [curve.low[0], curve.low[-1], curve.high[0], curve.high[-1]]],
    )
