"""Small multiples: each learner with its band, its forecast's fan, and what a forecast from half the labels said."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.plot.figures.drawing import Pen, draw_curve, fit_height, size_axis
from stages.plot.language import confidence, short
from stages.plot.results import Row


def from_half(pen: Pen) -> list[Row]:
    """What forecasts from half the labels said of the last size."""
    results = pen.of.results
    return [row for row in results.forecasts if row["kind"] == "backtest" and row["metric"] == results.metric
            and int(row["n_train"]) == 2 * int(row["largest_seen"])]  # fmt: skip


def forecast_found(pen: Pen) -> str:
    told = [pen.words("figures.forecast.found", confidence=confidence(pen.of.summary["confidence"]))]
    return " ".join([*told, pen.words("figures.forecast.half")] if from_half(pen) else told)


def forecast(pen: Pen) -> Figure:
    """Small multiples: the full band, the forecast's fan, and what a forecast from half the labels said."""
    results = pen.of.results
    curves, ahead = results.curves(results.metric), {c.learner: c for c in results.ahead(results.metric)}
    n_columns = 2 if pen.layout.is_narrow else 3
    n_rows = max(1, -(-len(curves) // n_columns))
    figure, panels = pen.blank((0.42 if pen.layout.is_narrow else 0.52) * n_rows + 0.16, n_columns, n_rows)
    sizes = [n for curve in [*curves, *ahead.values()] for n in curve.x]
    means = [v for curve in [*curves, *ahead.values()] for v in curve.mean]
    bands = [v for curve in [*curves, *ahead.values()] for v in [*curve.low, *curve.high]]
    for axes, curve in zip(panels, curves, strict=False):
        look = pen.looks[curve.learner]
        axes.fill_between(curve.x, curve.low, curve.high, color=look.color, alpha=0.2, linewidth=0)
        draw_curve(axes, curve, look, has_ends=False)
        if (then := ahead.get(curve.learner)) is not None:
            x, y = [curve.x[-1], *then.x], [curve.mean[-1], *then.mean]
            axes.fill_between(x, [curve.mean[-1], *then.low], [curve.mean[-1], *then.high], color=look.color, alpha=0.2,
                              linewidth=0)  # fmt: skip
            axes.plot(x, y, color=look.color, linewidth=1.4, linestyle=(0, (2.5, 1.5)))
        for row in from_half(pen):
            if row["learner"] == curve.learner:
                axes.plot([int(row["n_train"])], [float(row["predicted"])], marker="D", markersize=5, color=look.color,
                          markerfacecolor="none", linestyle="none")  # fmt: skip
        size_axis(axes, [min(sizes), np.sqrt(min(sizes) * max(sizes)), max(sizes)], "", is_narrow=False)
        axes.set_xticks([min(sizes), pen.of.sizes[-1], max(sizes)],
                        [short(int(n)) for n in (min(sizes), pen.of.sizes[-1], max(sizes))])  # fmt: skip
        axes.set_xlim(min(sizes) / 1.2, max(sizes) * 1.3)
        axes.set_title(look.label if len(look.label) <= 24 else f"{look.label[:23]}…", loc="left", color=look.color,
                       parse_math=False)  # fmt: skip
        fit_height(axes, means, bands)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if list(panels).index(axes) % n_columns:
            axes.set_yticklabels([])
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    height = figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.13 if pen.layout.is_narrow else 0.07, right=0.97, bottom=0.3 / height,
                           top=1 - 0.3 / height, wspace=0.14, hspace=0.42)  # fmt: skip
    return figure
