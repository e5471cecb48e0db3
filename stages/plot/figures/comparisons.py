"""Comparisons: labels for equal quality, every cell in a heat map, and the decision against the least gain."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stages.common.artefacts import Json
from stages.plot.figures.drawing import Pen, folded, size_axis
from stages.plot.figures.looks import ACCENT, INK, SOFT
from stages.plot.language import NONE, capital, confidence, short, value
from stages.plot.story.answer import headline
from stages.plot.story.forecasts import equal_quality as sentence_of
from stages.plot.story.forecasts import larger_of, simple_of


def equal_quality(pen: Pen) -> Figure:
    """A row per learner: labels that it needs, with the interval; an arrow where it goes beyond the sizes studied.

    Above what matches the simple learner's best, below a line the networks that match the next larger one's.
    """
    alike = [item for item in pen.of.shapes["equal_quality"] if item["of"] == simple_of(pen.of)]
    larger = larger_of(pen.of)
    items = [*alike, *larger]
    figure, (axes,) = pen.blank(max(0.35, 0.13 * len(items) + 0.25))
    for y, item in enumerate(reversed(items)):
        look, largest = pen.looks[item["learner"]], item["largest"]
        low, middle, high = item["low"] or largest, item["n_labels"], item["high"] or largest
        axes.plot([low, high], [y, y], color=look.color, linewidth=2.2, solid_capstyle="butt")
        if middle:
            axes.plot([middle], [y], marker=look.marker, markersize=7, color=look.color)
        if not item["high"]:
            axes.plot([largest], [y], marker=">", markersize=7, color=look.color)
    if alike:
        axes.plot([alike[0]["of_n_train"]] * 2, [len(larger) - 0.5, len(items) - 0.4], color=SOFT, linewidth=1,
                  linestyle=(0, (4, 3)))  # fmt: skip
    if alike and larger:
        axes.axhline(len(larger) - 0.5, color=SOFT, linewidth=0.8)
    named = [*(capital(pen.looks[item["learner"]].label) for item in alike), *(_as_larger(pen, i) for i in larger)]
    axes.set_yticks(range(len(items)), [_folded(name, pen) for name in reversed(named)], parse_math=False)
    for tick, item in zip(axes.get_yticklabels(), reversed(items), strict=True):
        tick.set_color(pen.looks[item["learner"]].color)
    axes.set_ylim(-0.6, max(0.6, len(items) - 0.4))
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    size_axis(axes, pen.of.sizes, pen.words("figures.equal_quality.x"), pen.layout.is_narrow)
    _leave_names(figure, pen)
    return figure


def equal_quality_found(pen: Pen) -> str:
    name = "larger" if larger_of(pen.of) else "found"
    return pen.words(f"figures.equal_quality.{name}", sentence=" ".join(sentence_of(pen.of, pen.words)),
                     confidence=confidence(pen.of.summary["confidence"]))  # fmt: skip


def _as_larger(pen: Pen, item: Json) -> str:
    names = {"learner": pen.words.learner(item["learner"]), "of": pen.words.named(item["of"])}
    return pen.words("figures.equal_quality.as", **names)


def heat_map(pen: Pen) -> Figure:
    """Learners by sizes; the best of a size outlined, a star where it certainly leads the next."""
    sizes, learners = pen.of.sizes, pen.of.results.learners
    by_size = {n: pen.of.means(n) for n in sizes}
    most = 4 if pen.layout.is_narrow else 9
    shown = sizes if len(sizes) <= most else sizes[-1 :: -max(1, -(-len(sizes) // most))][::-1]
    values = [v for means in by_size.values() for v in means.values()]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    figure, (axes,) = pen.blank(max(0.4, 0.11 * len(learners) + 0.22))
    for x, n in enumerate(shown):
        means, leads = by_size[n], pen.of.shapes["leads"].get(str(n))
        for y, learner in enumerate(reversed(learners)):
            if learner not in means:
                axes.text(x, y, NONE, ha="center", va="center", color=SOFT)
                continue
            place = (means[learner] - low) / max(high - low, 1e-9)
            depth = place if pen.of.summary["higher_is_better"] else 1 - place
            axes.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=ACCENT, alpha=0.04 + 0.34 * depth, linewidth=0)
            )
            is_best = next(iter(means)) == learner
            if is_best:
                axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fill=False, edgecolor=INK, linewidth=1.6))
            star = "*" if is_best and leads and leads["learner"] == learner and leads["is_certain"] else ""
            axes.text(x, y, f"{means[learner]:.3f}{star}", ha="center", va="center", color=INK,
                      fontweight="bold" if is_best else "normal")  # fmt: skip
    axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(-0.5, len(learners) - 0.5))
    axes.set_xticks(range(len(shown)), [short(n) for n in shown])
    axes.set_yticks(range(len(learners)), [_named(pen, name) for name in reversed(learners)], parse_math=False)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel(pen.words("figures.equal_quality.x"))
    _leave_names(figure, pen)
    return figure


def heat_map_found(pen: Pen) -> str:
    return pen.words("figures.heat_map.found", confidence=confidence(pen.of.summary["confidence"]))


def decision(pen: Pen) -> Figure:
    """Last doubling, next doubling, next network: each with its interval, beside the least gain worth having."""
    rows = decision_rows(pen)
    figure, (axes,) = pen.blank(max(0.4, 0.15 * len(rows) + 0.26))
    for y, (_, learner, middle, low, high) in enumerate(reversed(rows)):
        look = pen.looks[learner]
        axes.plot([low, high], [y, y], color=look.color, linewidth=2.2, solid_capstyle="butt")
        axes.plot([middle], [y], marker=look.marker, markersize=7, color=look.color)
    axes.axvline(0, color=SOFT, linewidth=0.8)
    axes.axvline(pen.of.least, color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.annotate(pen.words("figures.decision.least"), (pen.of.least, 1), xycoords=("data", "axes fraction"),
                  xytext=(4, 2), textcoords="offset points", color=SOFT, va="bottom")  # fmt: skip
    axes.set_yticks(range(len(rows)), [_folded(label, pen) for label, *_ in reversed(rows)], parse_math=False)
    axes.set_ylim(-0.6, max(0.6, len(rows) - 0.4))
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x")
    axes.set_xlabel(pen.words("figures.decision.x", metric=pen.label))
    _leave_names(figure, pen)
    return figure


def decision_rows(pen: Pen) -> list[tuple[str, str, float, float, float]]:
    """Label, learner, gain and its interval of 80 %."""
    words, rows = pen.words, []
    best = pen.of.advice.best_learner
    for step in pen.of.shapes["last_steps"]:
        if best and step["learner"] == best:
            label = words("figures.decision.last", learner=words.learner(best))
            rows.append((label, best, step["gain"], step["low80"], step["high80"]))
    for option, name in (("more data", "next"), ("bigger network", "network")):
        found = next((o for o in pen.of.advice.options if o.option == option), None)
        if found is not None:
            label = words(f"figures.decision.{name}", learner=words.learner(found.learner))
            gain = found.gain
            rows.append((label, found.learner, gain.median, gain.low80, gain.high80))
    return rows


def decision_found(pen: Pen) -> str:
    return pen.words("figures.decision.found", least=value(pen.of.least), sentence=headline(pen.of, pen.words))


def _named(pen: Pen, learner: str) -> str:
    return _folded(pen.looks[learner].label, pen)


def _folded(label: str, pen: Pen) -> str:
    """In two or three lines where it is long, and cut where it is longer than that."""
    most = 16 if pen.layout.is_narrow else 26
    lines = folded(capital(label), most)
    lines = [line if len(line) <= most + 4 else f"{line[: most + 3]}…" for line in lines]
    return "\n".join(lines[:3])


def _leave_names(figure: Figure, pen: Pen) -> None:
    height = figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.36 if pen.layout.is_narrow else 0.26, right=0.96, bottom=0.5 / height,
                           top=1 - 0.26 / height)  # fmt: skip
