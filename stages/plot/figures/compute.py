"""Error against compute: what one fit costs, each point with its number of labels."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from stages.plot.figures.drawing import Pen, draw_curve, name_ends
from stages.plot.figures.lines import leave_room, log_error
from stages.plot.language import short, value
from stages.plot.results import Curve


def compute(pen: Pen) -> Figure:
    """Each point bears its number of labels where there is room; the last and the first of each line come first."""
    figure, (axes,) = pen.blank()
    curves = pen.of.results.curves("error", "train_flops")
    for curve in curves:
        draw_curve(axes, curve, pen.looks[curve.learner], has_ends=False)
    axes.set_xscale("log")
    axes.set_xlabel(pen.words("figures.compute.x"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _power(x)))
    axes.xaxis.set_minor_locator(NullLocator())
    log_error(axes, curves, pen)
    leave_room(figure, pen)
    _name_points(axes, curves, pen)
    name_ends(axes, [(curve.learner, curve.mean[-1]) for curve in curves], pen.looks, pen.layout.is_narrow)
    return figure


def _name_points(axes: Axes, curves: list[Curve], pen: Pen) -> None:
    """Numbers of labels above or below points, where they meet no other label, point or line."""
    axes.figure.canvas.draw()
    scale = 72 / axes.figure.dpi
    places = {curve.learner: scale * axes.transData.transform(np.column_stack([curve.x, curve.mean]))
              for curve in curves}  # fmt: skip
    steps = np.linspace(0, 1, 12)[:, None]
    taken = [p for of_line in places.values() for a, b in itertools.pairwise(of_line) for p in a + steps * (b - a)]
    taken += [point for of_line in places.values() for point in of_line]
    inner = [(curve, i) for curve in curves for i in range(len(curve.x) - 2, 0, -1)]
    ends = [(curve, i) for curve in curves for i in sorted({0, len(curve.x) - 1})]
    for curve, i in [*ends, *inner]:
        rows = [row for row in pen.of.results.rows if row["learner"] == curve.learner
                and row["metric"] == "error" and row["mean"] and row["train_flops"]]  # fmt: skip
        label = short(int(rows[i]["n_train"]))
        half = 3.3 * len(label)
        for x, y in ((0, 10), (0, -10), (half + 6, 4), (-half - 6, -4), (half + 6, -5), (-half - 6, 5)):
            middle = places[curve.learner][i] + (x, y)
            if not any(abs(p[0] - middle[0]) < half + 2 and abs(p[1] - middle[1]) < 6 for p in taken):
                axes.annotate(label, (curve.x[i], curve.mean[i]), xytext=(x, y), textcoords="offset points",
                              ha="center", va="center", color=pen.looks[curve.learner].color)  # fmt: skip
                taken += [(middle[0] + dx, middle[1]) for dx in (-half, 0, half)]
                break


def compute_found(pen: Pen) -> str:
    points = [(y, curve.learner, x) for curve in pen.of.results.curves("error", "train_flops")
              for x, y in zip(curve.x, curve.mean, strict=True)]  # fmt: skip
    if not points:
        return pen.words("headline.failed")
    lowest, best, flops = min(points)
    return pen.words("figures.compute.found", value=value(lowest), best=pen.words.learner(best), flops=f"{flops:.1e}")


def _power(x: float) -> str:
    """1e12 as 10¹²."""
    return "10" + str(round(np.log10(x))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
