"""What the same quality costs, and forecasts with their record."""

from collections.abc import Sequence

from stages.common.artefacts import Json
from stages.contract.report import Table
from stages.plot.language import NONE, Words, capital, confidence, count, seconds, value
from stages.plot.story.measured import Measured


def equal_quality(of: Measured, words: Words) -> list[str]:
    """Of the learners that need fewer labels than the simple one, the one that needs fewest."""
    found = [item for item in of.shapes["equal_quality"] if item["of"] == simple_of(of) and item["times"]]
    better = [item for item in found if item["times"] > 1]
    if not better:
        simple = simple_of(of)
        return [words("equal.none", simple=words.learner(simple))] if simple else []
    item = max(better, key=lambda item: item["times"])
    learner, low = words.named(item["learner"]), item["times_low"]
    return [words(
        "equal.sentence", learner=learner, simple=words.named(simple_of(of)), times=times(item["times"]),
        confidence=confidence(of.summary["confidence"]),
        low=times(low) if low else words("equal.less"), high=times(item["times_high"]),
    )]  # fmt: skip


def larger_of(of: Measured) -> list[Json]:
    """Of every network but the largest, the labels that it needs to match the next larger one at its best."""
    return [item for item in of.shapes["equal_quality"] if item["of"] in of.networks]


def simple_of(of: Measured) -> str:
    """Whose best the others are compared with."""
    return next((str(item["of"]) for item in of.shapes["equal_quality"] if item["of"] not in of.networks), "")


def times(x: float) -> str:
    return f"{x:.1f}" if x < 10 else f"{x:,.0f}"


def equal_tables(of: Measured, words: Words) -> list[Table]:
    level = confidence(of.summary["confidence"])
    head = [words(f"equal.{name}", confidence=level) for name in ("learner", "of", "needs", "times")]
    rows = []
    for item in of.shapes["equal_quality"]:
        needs = [_labels(item, key, words) for key in ("n_labels", "low", "high")]
        worth = [times(item[key]) if item[key] else NONE for key in ("times", "times_low", "times_high")]
        as_good = words("equal.value", learner=words.learner(item["of"]), n=count(item["of_n_train"]),
                        value=value(item["value"]))  # fmt: skip
        rows.append([capital(words.learner(item["learner"])), capital(as_good),
                     _ranged(needs, words), _ranged(worth, words)])  # fmt: skip
    by_cell = {(cell.learner, cell.n_train): cell.fit_seconds for cell in of.costs.cells}
    cost_rows = [[capital(words.learner(name)), *(seconds(by_cell[name, n]) if (name, n) in by_cell else NONE
                                                  for n in of.sizes)] for name in of.results.learners]  # fmt: skip
    costs = Table(caption=words("equal.costs"), head=[words("equal.learner"), *map(count, of.sizes)], rows=cost_rows)
    return [Table(caption=words("equal.caption", confidence=level), head=head, rows=rows), costs] if rows else [costs]


def _ranged(of_three: Sequence[str], words: Words) -> str:
    """A value with its interval, where that says more."""
    middle, low, high = of_three
    return middle if low == middle == high else f"{middle} ({words.range(low, high)})"


def _labels(item: Json, key: str, words: Words) -> str:
    n = item[key]
    if n is None:
        return words("equal.beyond", n=count(item["largest"]))
    return words("equal.all", n=count(n)) if n == item["smallest"] else count(n)


def forecast(of: Measured, words: Words) -> list[str]:
    """How often advice such as this one came true elsewhere; that nothing could be forecast."""
    if not of.results.ahead(of.results.metric):
        return [words("forecast.none")]
    option = of.option("more data")
    if option is None:
        return []
    like = next(of_bin for of_bin in of.promises if option.probability <= of_bin["to"])
    return [words(
        "forecast.promises", told=words.chance(like["told"]), true=f"{100 * like['true']:.0f}",
        error=f"{100 * like['standard_error']:.0f}", n=count(like["n"]), chance=words.chance(option.probability),
        low=confidence(like["from"]), high=confidence(like["to"]),
    )]  # fmt: skip


def forecast_tables(of: Measured, words: Words) -> list[Table]:
    ahead = of.results.ahead(of.results.metric)
    if not ahead:
        return []
    sizes = sorted({int(n) for curve in ahead for n in curve.x})
    rows = []
    for curve in ahead:
        by_size = dict(zip(curve.x, zip(curve.mean, curve.low, curve.high, strict=True), strict=True))
        told = [words.interval(value, *by_size[n]) if n in by_size else NONE for n in sizes]  # fmt: skip
        rows.append([capital(words.learner(curve.learner)), *told])
    head = [words("forecast.learner"), *(words("forecast.ahead", n=count(n)) for n in sizes)]
    tables = [Table(caption=words("forecast.caption", metric=of.metric), head=head, rows=rows)]
    if of.advice.labels_until:
        tables.append(_until(of, words))
    if of.shapes["backtests"]:
        tables.append(_record(of, words))
    return tables


def _until(of: Measured, words: Words) -> Table:
    until = of.advice.labels_until
    assert until is not None
    rows = []
    for item in until.learners:
        beyond = words("forecast.beyond")
        if item.is_measured and item.n_labels:
            told = words("forecast.reached", n=count(item.n_labels))
        elif item.not_forecast:
            told = words("forecast.no_forecast")
        elif item.low80 is None and item.n_labels is None:
            told = beyond
        else:
            n, low, high = (count(n) if n else beyond for n in (item.n_labels, item.low80, item.high80))
            told = words("forecast.until_range", n=n, low=low, high=high)
        rows.append([capital(words.learner(item.learner)), told])
    caption = words("forecast.until", metric=of.metric, target=value(until.target))
    return Table(caption=caption, head=[words("forecast.learner"), words("tables.labels")], rows=rows)


def _record(of: Measured, words: Words) -> Table:
    head = [words(f"forecast.{name}") for name in ("hidden", "missed", "last", "held")]
    rows = [
        [words("forecast.factor", factor=f"{grade['factor']:.3g}"), value(grade["mean_log_error"]),
         value(grade["last_value_log_error"]),
         words("forecast.of", k=str(grade["covered80"]), n=str(grade["n_forecasts"]))]
        for grade in of.shapes["backtests"]
    ]  # fmt: skip
    return Table(caption=words("forecast.record_caption"), head=head, rows=rows)
