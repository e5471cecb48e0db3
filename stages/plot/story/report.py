"""The whole report, section by section."""

import shlex

from stages.contract.report import Holds, Picture, Report
from stages.plot.language import Words
from stages.plot.story import answer, forecasts, statements, tables, ways
from stages.plot.story.measured import Measured


def commands(of: Measured) -> list[str]:
    """What makes this study again, whatever is composed in the clone; an experiment of DVC has its params beside it."""
    composed = shlex.join(["python", "-m", "stages.compose", "--reset", *of.overrides])
    return [
        "git clone REPOSITORY && cd FOLDER",
        "make install && source .venv/bin/activate",
        *([composed] if of.params else []),
        "python -m stages.run",
        "python -m stages.audit",
    ]


def report_of(of: Measured, words: Words, pictures: list[Picture]) -> Report:
    studied = words(
        "page.studied", data=of.card.title, target=of.card.target, metric=of.metric,
        n_learners=str(len(of.results.learners)), first=f"{of.sizes[0]:,}", last=f"{of.sizes[-1]:,}",
    )  # fmt: skip
    glossary = [Holds(what=entry["word"], text=entry["text"]) for entry in words.section("glossary").values()]
    return Report(
        language=words.language, title=words("page.title", data=of.card.title), studied=studied,
        answer=answer.answer(of, words), marked=tables.marked(of, words),
        warnings=list(map(words.told, of.card.warnings)), ways=ways.ways(of, words),
        statements=statements.statements(of, words), statements_note=words("statements.interval"),
        equal=forecasts.equal_quality(of, words), equal_tables=forecasts.equal_tables(of, words),
        forecast=forecasts.forecast(of, words), forecast_tables=forecasts.forecast_tables(of, words),
        tables=tables.tables(of, words), classes=tables.classes(of, words), data=tables.data(of, words),
        columns=tables.columns(of, words), run=tables.run(of, words), run_tables=tables.run_tables(of, words),
        commands=commands(of), glossary=glossary, cite=words("cite.text"), pictures=pictures,
    )  # fmt: skip
