"""The report as a page, as Markdown and as a few lines for a terminal."""

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from stages.contract.report import Holds, Picture, Report, Table
from stages.plot.figures.all import ALL, Drawn
from stages.plot.figures.looks import css
from stages.plot.language import SPACE, Words, columns, confidence, value
from stages.plot.story.measured import Measured

TEMPLATE = Path(__file__).with_name("report.html.j2")
WIDTH, LINES = 80, 9  # of the terminal's answer, under which the report's path and the next command stand
ORDER = ("supported", "refuted", "inconclusive", "not tested")


def html(report: Report, words: Words, drawn: Mapping[str, Drawn]) -> str:
    """Every value is escaped; figures stand in the page: the file needs nothing else."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    figures = {name: {"picture": figure.picture, **figure.inline} for name, figure in drawn.items()}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report, words=words, figures=figures, own=list(ALL), light=css("light"), dark=css("dark")
    )


def markdown(report: Report, words: Words) -> str:
    """For pull requests: what the page says, but for classes, columns and cells one by one."""
    answer = report.answer
    lines = [f"# {_plain(report.title)}", _plain(report.studied), f"**{_plain(answer.headline)}**",
             *map(_plain, answer.sentences), *map(_plain, answer.interval)]  # fmt: skip
    lines += [f"## {words('headings.holds')}",
              _listed(answer.holds)]  # fmt: skip
    for name, listed in (("run.marked", report.marked), ("data.warnings", report.warnings)):
        if listed:
            lines += [f"## {words(name)}", "\n".join(f"- {_plain(line)}" for line in listed)]
    lines += [
        f"## {words('headings.ways')}",
        _table(report.ways.table) if report.ways.table.rows else words("ways.none"),
        *map(_plain, report.ways.notes),
    ]
    if report.ways.prices_of_labels:
        lines += [f"### {words('ways.price')}", _table(report.ways.prices_of_labels)]
    pictures = {picture.name: picture for picture in report.pictures}
    own = [name for name in pictures if name not in ALL]
    lines += _figures(["decision"], pictures)
    lines += [f"## {words('headings.picture')}", *_figures(["performance", "heat_map"], pictures)]
    told = (f"- {s.symbol} **{s.word}**: {_plain(f'{s.title} {s.text} {s.number}'.strip())}" for s in report.statements)
    lines += [f"## {words('headings.statements')}", "\n".join(told), _plain(report.statements_note)]
    lines += [f"## {words('headings.equal')}", *map(_plain, report.equal), *_figures(["equal_quality"], pictures),
              *map(_table, report.equal_tables)]  # fmt: skip
    lines += [f"## {words('headings.forecast')}", *map(_plain, report.forecast), *_figures(["forecast"], pictures),
              *map(_table, report.forecast_tables)]  # fmt: skip
    lines += [f"## {words('headings.tables')}", *map(_table, report.tables)]
    lines += _figures(["error", "compute", *own], pictures)
    lines += [f"## {words('headings.data')}", _listed(report.data)]
    lines += [f"## {words('headings.run')}", *map(_plain, report.run), _table(report.run_tables[0])]
    lines += [f"### {words('run.again')}", _block(report.commands)]
    lines += [f"## {words('headings.glossary')}", _listed(report.glossary)]
    lines += [f"## {words('headings.cite')}", _plain(report.cite)]
    return "\n\n".join(line for line in lines if line) + "\n"


def _block(commands: list[str]) -> str:
    """Fenced by more backticks than any name in it has in a row."""
    told = "\n".join(commands)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", told)), default=0))
    return f"{fence}bash\n{told}\n{fence}"


def _listed(items: list[Holds]) -> str:
    return "\n".join(f"- {_plain(item.what)}: {_plain(item.text)}" for item in items)


def _figures(names: list[str], pictures: Mapping[str, Picture]) -> list[str]:
    """Those of them that were drawn, each with its title and what it shows."""
    drawn = [pictures[name] for name in names if name in pictures]
    return [line for of in drawn
            for line in (f"![{_plain(of.title)}](figures/{of.name}.svg)", _plain(of.found))]  # fmt: skip


def _table(table: Table) -> str:
    head = f"| {' | '.join(map(_plain, table.head))} |"
    rows = [f"| {' | '.join(map(_plain, row))} |" for row in table.rows]
    return "\n".join([_plain(table.caption), "", head, "|" + "---|" * len(table.head), *rows])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: names from a user's file may hold anything."""
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>#|~$&" else c for c in text)
    return re.sub(r"^(\d+)(?=[.)] )|^(?=[-+=] )", r"\1\\", " ".join(escaped.split()))


def terminal(of: Measured, report: Report, words: Words) -> str:
    """Lines of 80 columns: the answer, who is best, what it holds for (cut where it is long), verdicts, marks."""
    counted = {verdict: sum(s.verdict == verdict for s in report.statements) for verdict in ORDER}
    told = ", ".join(f"{words.section('verdicts')[verdict]['word']}:{SPACE}{n}" for verdict, n in counted.items() if n)
    holds = "; ".join(item.text for item in report.answer.holds[:2])
    paragraphs = [report.answer.headline]
    best = of.summary["learners"].get(of.advice.best_learner or "")
    if best and best["low"] is not None:
        paragraphs.append(words(
            "terminal.best", best=words.learner(of.advice.best_learner or ""), value=value(best["mean"]),
            metric=of.metric, low=value(best["low"]), high=value(best["high"]),
            confidence=confidence(of.summary["confidence"]),
        ))  # fmt: skip
    after = [words("terminal.verdicts", text=told)]
    n_marked = sum(bool(cell.marks) for cell in of.cells)
    if n_marked:
        after.append(words("terminal.marked", n=str(n_marked), all=str(len(of.cells))))
    first, last = ([line for text in texts for line in _wrapped(text)] for texts in (paragraphs, after))
    held = _wrapped(words("terminal.holds", text=holds))
    room = max(1, LINES - len(first) - len(last))
    shown = held if len(held) <= room else [*held[: room - 1], f"{held[room - 1][: WIDTH - 2]} …"]
    return "\n".join([*first, *shown, *last][:LINES]) + "\n"


def _wrapped(text: str) -> list[str]:
    """Lines of the terminal's width, in which Korean letters take two columns each; later ones indented."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1].strip() and columns(f"{lines[-1]} {word}") > WIDTH:
            lines.append(" ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines
