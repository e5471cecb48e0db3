"""The figures: performance and error against the amount of data, error against compute."""

import io
from collections.abc import Callable, Sequence

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from stages.plot.params import Plot, Style
from stages.plot.results import Curve, Results

Draw = Callable[[Results, Plot], str]
ALL: dict[str, tuple[str, Draw]] = {}  # of each figure, in their order in the report: title and function


def figure(title: str) -> Callable[[Draw], Draw]:
    """Adds a function of this name to the report; it gives the figure as SVG text. {metric}: that of the picture."""

    def added(draw: Draw) -> Draw:
        ALL[draw.__name__] = (title, draw)
        return draw

    return added


def styles(plot: Plot, learners: Sequence[str]) -> dict[str, Style]:
    """Label and colour of every learner: as configured, else its name and the next colour of the cycle."""
    others = [name for name in learners if name not in plot.style]
    cycled = {name: plot.cycle[i % len(plot.cycle)] for i, name in enumerate(others)}
    return {
        name: plot.style.get(name) or Style(label=name.replace("_", " ").capitalize(), color=cycled[name])
        for name in learners
    }


@figure("{metric} against the amount of data, with a band per learner")
def performance(results: Results, plot: Plot) -> str:
    """The chapter's picture, log axis of the number of labels; levels are drawn dashed."""
    curves = results.curves(results.metric)
    drawing, axes = _blank(plot)
    _draw(axes, curves, plot)
    _data_axis(axes, curves)
    axes.set_ylabel(results.label)
    _fit_height(axes, curves)
    _draw_levels(axes, results.levels(results.metric))
    return _finish(drawing, axes, curves, plot)


@figure("Error against the amount of data, both axes logarithmic")
def error(results: Results, plot: Plot) -> str:
    """A power law is a straight line."""
    curves = results.curves("error")
    drawing, axes = _blank(plot)
    _draw(axes, curves, plot)
    _data_axis(axes, curves)
    _log_error_axis(axes, curves, results.levels("error"))
    return _finish(drawing, axes, curves, plot)


@figure("Error against the compute of one final fit, both axes logarithmic")
def compute(results: Results, plot: Plot) -> str:
    """Compute in floating-point operations."""
    curves = results.curves("error", "train_flops")
    drawing, axes = _blank(plot)
    _draw(axes, curves, plot)
    axes.set_xlabel("compute of one fit: floating-point operations")
    axes.set_xscale("log")
    _log_error_axis(axes, curves, results.levels("error"))
    return _finish(drawing, axes, curves, plot)


@figure("{metric} measured, and forecast to 8 times the labels with 80 % intervals")
def forecast(results: Results, plot: Plot) -> str:
    """Measured curves and, dashed, their forecasts with intervals; log axis of the number of labels."""
    measured, ahead = results.curves(results.metric), results.ahead(results.metric)
    drawing, axes = _blank(plot)
    looks = styles(plot, [curve.learner for curve in measured])
    last = {curve.learner: (curve.x[-1], curve.mean[-1]) for curve in measured}
    for curve in measured:
        axes.plot(curve.x, curve.mean, color=looks[curve.learner].color, linewidth=2, marker="o", markersize=3)
    joined = []
    for curve in ahead:
        x, y = last[curve.learner]
        color = looks[curve.learner].color
        low, high = [y, *curve.low], [y, *curve.high]
        axes.fill_between([x, *curve.x], low, high, color=color, alpha=0.12, linewidth=0)
        axes.plot([x, *curve.x], [y, *curve.mean], color=color, linewidth=1.6, linestyle=(0, (4, 2)))
        joined.append(Curve(curve.learner, [x, *curve.x], [y, *curve.mean], low, high, [False] * (1 + len(curve.x))))
    _data_axis(axes, measured + ahead, "; dashed: forecast")
    axes.set_ylabel(results.label)
    _fit_height(axes, measured + joined)
    _draw_levels(axes, results.levels(results.metric))
    ends = {curve.learner: curve for curve in [*measured, *joined]}
    return _finish(drawing, axes, list(ends.values()), plot)


def _data_axis(axes: Axes, curves: list[Curve], more: str = "") -> None:
    axes.set_xlabel(f"amount of data: labels that pay for fitting and tuning{more}")
    axes.set_xscale("log", base=2)
    _label_sizes(axes, curves)


def _blank(plot: Plot) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(plot.width, plot.height))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _draw(axes: Axes, curves: list[Curve], plot: Plot) -> None:
    looks = styles(plot, [curve.learner for curve in curves])
    for curve in curves:
        color = looks[curve.learner].color
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.16, linewidth=0)
        axes.plot(curve.x, curve.mean, color=color, linewidth=2)
        faces = ["white" if is_marked else color for is_marked in curve.is_marked]
        axes.scatter(curve.x, curve.mean, s=16, c=faces, edgecolors=color, linewidths=1.2, zorder=3)


def _draw_levels(axes: Axes, levels: dict[str, float]) -> None:
    """Dashed lines; levels of one value share a line and its label.

    A level so far away that it would squeeze the curves into less than a third of the height is named at the edge.
    """
    is_log = axes.get_yscale() == "log"
    low, high = np.log(axes.get_ylim()) if is_log else axes.get_ylim()
    height, bottom, top = high - low, low, high
    for value in dict.fromkeys(levels.values()):
        names = " and ".join(name for name, level in levels.items() if level == value)
        place = np.log(value) if is_log else value
        if max(place - high, low - place) > 2 * height:
            side, edge, offset = ("above", 1, -9) if place > high else ("below", 0, 3)
            axes.annotate(f"{names}: {value:.3g}, {side} the axis", (0, edge), xycoords="axes fraction",
                          xytext=(3, offset), textcoords="offset points", fontsize=8,
                          color="#777777")  # fmt: skip
            continue
        bottom, top = min(bottom, place - 0.05 * height), max(top, place + 0.05 * height)
        axes.axhline(value, color="#999999", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(f"{names} {value:.3g}", (0, value), xycoords=("axes fraction", "data"), xytext=(3, 3),
                      textcoords="offset points", fontsize=8, color="#777777")  # fmt: skip
    axes.set_ylim(*(np.exp([bottom, top]) if is_log else (bottom, top)))


def _label_sizes(axes: Axes, curves: list[Curve]) -> None:
    sizes = sorted({x for curve in curves for x in curve.x})
    axes.set_xticks(sizes, [f"{int(n):,}" for n in sizes], fontsize=8, rotation=30, ha="right")
    axes.xaxis.set_minor_locator(NullLocator())


def _log_error_axis(axes: Axes, curves: list[Curve], levels: dict[str, float]) -> None:
    axes.set_ylabel("Error")
    axes.set_yscale("log")
    _fit_height(axes, curves)
    _draw_levels(axes, levels)
    low, high = axes.get_ylim()
    if high < 4 * low:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    else:
        decades = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
        axes.set_yticks([tick for tick in decades if low <= tick <= high])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _fit_height(axes: Axes, curves: list[Curve]) -> None:
    """Limits that show every mean; a band widens them by a third of the means' range at most, then it is cut."""
    means = np.array([value for curve in curves for value in curve.mean])
    bands = np.array([value for curve in curves for value in [*curve.low, *curve.high]])
    is_log = axes.get_yscale() == "log"
    means, bands = (np.log(values[values > 0]) if is_log else values for values in (means, bands))
    if not len(means):
        return
    room = max((means.max() - means.min()) / 3, 1e-3)
    low = max(means.min() - room, min(np.nanmin(bands, initial=means.min()), means.min()))
    high = min(means.max() + room, max(np.nanmax(bands, initial=means.max()), means.max()))
    margin = 0.04 * (high - low) + 1e-6
    limits = np.array([low - margin, high + margin])
    axes.set_ylim(*(np.exp(limits) if is_log else limits))


def _finish(figure: Figure, axes: Axes, curves: list[Curve], plot: Plot) -> str:
    figure.subplots_adjust(left=0.1, right=0.78, bottom=0.17, top=0.96)
    _label_ends(axes, curves, plot)
    if any(any(curve.is_marked) for curve in curves):
        figure.text(0.99, 0.02, "hollow: marked, see the report", ha="right", fontsize=7.5, color="#777777")
    text = io.StringIO()
    # A fixed salt and no date: the same results give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "scale"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    return text.getvalue()


def _label_ends(axes: Axes, curves: list[Curve], plot: Plot) -> None:
    """Names at the right end of the curves, moved apart where they would overlap."""
    if not curves:
        return
    looks = styles(plot, [curve.learner for curve in curves])
    axes.figure.canvas.draw()
    height = axes.get_window_extent().height
    ends = [
        axes.transData.transform((curve.x[-1], curve.mean[-1]))[1] - axes.get_window_extent().y0 for curve in curves
    ]
    places = spread(ends, gap=15 * axes.figure.dpi / 72, low=0, high=height)
    for curve, place in zip(curves, places, strict=True):
        style = looks[curve.learner]
        axes.annotate(style.label, (curve.x[-1], curve.mean[-1]), xytext=(1.03, place / height),
                      textcoords="axes fraction", color=style.color, fontsize=9.5, fontweight="bold",
                      va="center", parse_math=False,
                      arrowprops={"arrowstyle": "-", "color": style.color, "alpha": 0.5, "linewidth": 0.8,
                                  "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 3})  # fmt: skip


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
