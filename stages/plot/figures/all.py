"""All figures of the report, in their order."""

import inspect
from collections.abc import Callable

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from stages.contract.report import Picture
from stages.plot.figures import comparisons, compute, lines, multiples
from stages.plot.figures.drawing import MORE, NARROW, STYLE, WIDE, Pen, families, inline, png_of, svg_of
from stages.plot.figures.looks import looks_of
from stages.plot.language import Words, capital
from stages.plot.params import Plot
from stages.plot.story.forecasts import simple_of
from stages.plot.story.measured import Measured

Draw = Callable[[Pen], Figure]
Found = Callable[[Pen], str]
ALL: dict[str, tuple[Draw, Found]] = {
    "performance": (lines.performance, lines.performance_found),
    "sketch": (lines.sketch, lambda pen: pen.words("figures.sketch.found")),
    "heat_map": (comparisons.heat_map, comparisons.heat_map_found),
    "decision": (comparisons.decision, comparisons.decision_found),
    "equal_quality": (comparisons.equal_quality, comparisons.equal_quality_found),
    "forecast": (multiples.forecast, multiples.forecast_found),
    "error": (lines.error, lines.error_found),
    "compute": (compute.compute, compute.compute_found),
}


class Drawn:
    """A figure in both layouts: the text of its files, and what stands in the page."""

    def __init__(self, name: str, picture: Picture, svgs: dict[str, str], png: bytes):
        self.name, self.picture, self.svgs, self.png = name, picture, svgs, png

    @property
    def inline(self) -> dict[str, str]:
        return {layout: inline(svg, f"{self.name}-{layout}") for layout, svg in self.svgs.items()}


def draw_all(of: Measured, words: Words, plot: Plot) -> dict[str, Drawn]:
    labels = {name: capital(words.learner(name)) for name in of.results.learners}
    looks = looks_of(labels, of.networks, plot.colors)
    with matplotlib.rc_context(fname=STYLE), matplotlib.rc_context({"font.family": families(plot.language)}):
        drawn = {}
        for name, (draw, found) in {**ALL, **{name: (draw, None) for name, draw in MORE.items()}}.items():
            if name == "equal_quality" and not simple_of(of):
                continue
            svgs, png, told, title = {}, b"", "", ""
            for layout in (WIDE, NARROW):
                pen = Pen(of, words, looks, layout)
                if found is None:
                    title, _, told = inspect.cleandoc(draw.__doc__ or name).partition("\n")
                    title, told = title.rstrip("."), " ".join(told.split()) or title
                else:
                    title = words(f"figures.{name}.title", metric=of.metric, simple=words.learner(simple_of(of)))
                    told = found(pen)
                figure = draw(pen)
                svgs[layout.name] = svg_of(figure, title, told)
                png = png or png_of(figure)
                plt.close(figure)
            drawn[name] = Drawn(name, Picture(name=name, title=title, found=told), svgs, png)
        return drawn
