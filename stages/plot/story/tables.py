"""The tables of what was measured, the data card, and what was run."""

import math
from collections.abc import Mapping

from stages.contract.cells import MeasuredCell
from stages.contract.report import Holds, Table
from stages.plot.language import NONE, Words, capital, confidence, count, seconds, value
from stages.plot.results import Row, number
from stages.plot.story.measured import STEPS, Measured

SHOWN = 16  # digits of a digest
MOST_COLUMNS = 200  # of the user's table that the page names
MOST_CLASSES = 50  # that the page tells one by one


def tables(of: Measured, words: Words) -> list[Table]:
    found = [means(of, words)]
    if of.shapes["overtakes"]:
        found.append(overtakes(of, words))
    if of.shapes["variance"]:
        found.append(variance(of, words))
    return found


def means(of: Measured, words: Words) -> Table:
    """One row per learner: mean and band at each size."""
    metric = of.results.metric
    by_cell = {(row["learner"], int(row["n_train"])): row for row in of.results.rows if row["metric"] == metric}
    rows = [
        [capital(words.learner(name)), *(_cell(by_cell.get((name, n)), words) for n in of.sizes)]
        for name in of.results.learners
    ]
    caption = words("tables.means", metric=of.metric, confidence=confidence(of.summary["confidence"]))
    return Table(caption=caption, head=[words("tables.learner"), *map(count, of.sizes)], rows=rows)


def _cell(row: Row | None, words: Words) -> str:
    if row is None or not row["mean"]:
        return words("tables.unusable")
    mean, low, high = (number(row[key]) for key in ("mean", "low", "high"))
    return value(mean) if math.isnan(low) else words.interval(value, mean, low, high)


def classes(of: Measured, words: Words) -> Table:
    """One row per class, metric and learner; of many classes the first alone, so that the page stays small."""
    by_cell = {(row["class"], row["metric"], row["learner"], int(row["n_train"])): row for row in of.classes}
    names = list(dict.fromkeys(row["class"] for row in of.classes))
    shown = set(names[:MOST_CLASSES])
    keys = dict.fromkeys((row["class"], row["metric"], row["learner"]) for row in of.classes if row["class"] in shown)
    rows = []
    for name, metric, learner in keys:
        told = (by_cell.get((name, metric, learner, n)) for n in of.sizes)
        rows.append([name, words.told(metric.replace("_", " ")), capital(words.learner(learner)),
                     *(value(number(row["mean"])) if row and row["mean"] else NONE for row in told)])  # fmt: skip
    head = [words(f"tables.{name}") for name in ("class", "metric", "learner")]
    is_cut = len(names) > MOST_CLASSES
    caption = words("tables.classes_cut", n=count(MOST_CLASSES), all=count(len(names)))
    return Table(
        caption=caption if is_cut else words("tables.classes_caption"), head=[*head, *map(count, of.sizes)], rows=rows
    )


def overtakes(of: Measured, words: Words) -> Table:
    rows = []
    for item in of.shapes["overtakes"]:
        beyond = words("equal.beyond", n=count(item["largest"]))
        n, low, high = (count(item[key]) if item[key] else beyond for key in ("n_labels", "low", "high"))
        if item["n_labels"] == item["smallest"]:
            n = words("tables.smallest")
        rows.append([capital(words.learner(item["network"])), capital(words.learner(item["other"])),
                     f"{n} ({words.range(low, high)})", words.chance(item["probability"])])  # fmt: skip
    head = [words(f"tables.{name}") for name in ("network", "other", "from", "probability")]
    caption = words("tables.overtakes", confidence=confidence(of.summary["confidence"]))
    return Table(caption=caption, head=head, rows=rows)


def variance(of: Measured, words: Words) -> Table:
    rows = [
        [capital(words.learner(item["learner"])), count(item["n_train"]),
         *(value(item[key]) for key in ("draw", "initialisation", "residual", "test"))]
        for item in of.shapes["variance"]
    ]  # fmt: skip
    head = [words(f"tables.{name}") for name in ("learner", "labels", "draw", "initialisation", "residual", "test")]
    return Table(caption=words("tables.variance", metric=of.metric), head=head, rows=rows)


def data(of: Measured, words: Words) -> list[Holds]:
    """The data card: names, titles and descriptions are those of whoever described the data."""
    card = of.card
    known = {key: count(getattr(card.rows, key)) for key in ("known", "pool", "test")}
    dropped = "; ".join(
        words("data.dropped_text", n=count(item.rows), reason=words.told(item.reason)) for item in card.dropped
    )
    left_out = "; ".join(f"{item.column}: {words.told(item.reason)}" for item in card.left_out)
    in_pool = zip(card.classes, card.pool_class_rows, strict=True)
    told = {
        "source": words.told(card.source), "licence": words.told(card.licence),
        "rows": words("data.rows_text", **known),
        "dropped": dropped or words("data.nothing"), "left_out": left_out or words("data.nothing"),
        "split": words.told(card.split.meaning),
        "classes": ", ".join(f"{name} {count(n)}" for name, n in in_pool),
        "sha256": "; ".join(f"{name} {digest}" for name, digest in card.sha256.items()),
    }  # fmt: skip
    return [Holds(what=words(f"data.{name}"), text=text) for name, text in told.items()]


def columns(of: Measured, words: Words) -> Table:
    rows = [[column.name, words.told(column.kind), column.description, count(column.missing)]
            for column in of.card.columns[:MOST_COLUMNS]]  # fmt: skip
    head = [words(f"data.{name}") for name in ("column", "kind", "description", "missing")]
    return Table(caption=words("data.columns"), head=head, rows=rows)


def marked(of: Measured, words: Words) -> list[str]:
    """Every mark with the cells that bear it, those of one size together."""
    learners: dict[tuple[int, str], list[str]] = {}
    for cell in of.cells:
        for mark in cell.marks:
            learners.setdefault((cell.n_train, mark), []).append(words.learner(cell.learner))
    return [words("run.mark", learners=", ".join(names), n=count(n), mark=words.told(mark))
            for (n, mark), names in learners.items()]  # fmt: skip


def run(of: Measured, words: Words) -> list[str]:
    """How n labels were spent, how many replicates there are, and what they ran on."""
    budget, cells = of.cells[0].budget, of.cells
    n_each = {cell.n_train: len({fit.draw for fit in cell.replicates}) for cell in cells}
    first, last = n_each[min(n_each)], n_each[max(n_each)]
    replicates = str(last) if first == last else words.range(str(first), str(last))
    hosts = {(cell.learner, cell.n_train): f"{cell.processor}, {cell.cores}" for cell in of.costs.cells}
    hardware = dict.fromkeys(
        words("run.host", accelerator=cell.accelerator, precision=cell.precision, threads=str(cell.threads),
              host=hosts.get((cell.learner, cell.n_train), ""))
        for cell in cells
    )  # fmt: skip
    versions = "; ".join(f"{package} {version}" for package, version in _versions(cells).items())
    return [
        words("run.budget", share=confidence(budget.validation_share), rows=count(budget.validation_rows),
              settings=str(budget.n_settings), tuning=count(budget.tuning_rows)),
        words("run.replicates", n=replicates),
        f"{words('run.hardware')}: {'; '.join(hardware)}",
        f"{words('run.versions')}: {versions}",
        words("run.hashes", params=of.params[:SHOWN] or NONE),
    ]  # fmt: skip


def run_tables(of: Measured, words: Words) -> list[Table]:
    steps = Table(caption=words("run.steps"), head=[words("run.step"), words("run.made"), words("run.code")],
                  rows=[[name, words(f"run.{name}"), of.code[name][:SHOWN]] for name in STEPS])  # fmt: skip
    by_cell = {(cell.learner, cell.n_train): cell.fit_seconds for cell in of.costs.cells}
    head = [words(f"run.{name}") for name in
            ("learner", "labels", "status", "settings", "epochs", "parameters", "seconds")]  # fmt: skip
    rows = [[*_run(cell, words), seconds(by_cell.get((cell.learner, cell.n_train), 0.0))] for cell in of.cells]
    return [steps, Table(caption=words("run.cells"), head=head, rows=rows)]


def _run(cell: MeasuredCell, words: Words) -> list[str]:
    settings = [", ".join(f"{key} {_text(of)}" for key, of in setting.items()) for setting in cell.settings or []]
    status = words.told(f"{cell.status}: {cell.reason}" if cell.reason else cell.status)
    return [capital(words.learner(cell.learner)), count(cell.n_train), status, "; ".join(dict.fromkeys(settings)),
            _span(cell.epochs, words), _span(cell.n_parameters, words)]  # fmt: skip


def _text(of: object) -> str:
    return f"{of:g}" if isinstance(of, float) else str(of)


def _span(values: list[int] | None, words: Words) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return count(low) if low == high else words.range(count(low), count(high))


def _versions(cells: list[MeasuredCell]) -> Mapping[str, str]:
    of_packages: dict[str, set[str]] = {}
    for cell in cells:
        for package, version in cell.versions.items():
            of_packages.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions)) for package, versions in of_packages.items()}
