"""results/report.html: one file with the answer, verdicts, figures, tables, the data card and what was run."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from stages.common.artefacts import Json
from stages.contract.advice import Advice
from stages.contract.cells import MeasuredCell
from stages.contract.claims import Claim
from stages.contract.costs import CellCost, Costs
from stages.contract.dataset import Dataset

TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Written:
    """What `prepare` and `evaluate` wrote, as typed records."""

    card: Dataset
    cells: list[MeasuredCell]
    claims: list[Claim]
    advice: Advice
    costs: Costs


def render(
    figures: dict[str, tuple[str, str]], table: list[Json], sizes: list[int], written: Written, more: Json
) -> str:
    """The page's text. Every value is escaped; figures (title and SVG, by name) are embedded: the file stands
    alone.

    more: what the template has besides: answer, summary, shapes, forecasts and classes.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    images = [
        {"title": title, "source": "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()}
        for title, svg in figures.values()
    ]
    cells = written.cells
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        more
        | {
            "card": written.card,
            "claims": written.claims,
            "advice": written.advice,
            "costs": written.costs,
            "images": images,
            "table": table,
            "sizes": sizes,
            "cells": [_shown(cell) for cell in cells],
            "marked": _marked(cells),
            "budget": cells[0].budget,
            "n_replicates": _numbers_of_replicates(cells),
            "hardware": _hardware(cells, written.costs.cells),
            "versions": _versions(cells),
        }
    )


def _marked(cells: list[MeasuredCell]) -> list[str]:
    """Every mark with the cells that bear it, those of one size together."""
    learners: dict[tuple[int, str], list[str]] = {}
    for cell in cells:
        for mark in cell.marks:
            learners.setdefault((cell.n_train, mark), []).append(cell.learner)
    return [f"{', '.join(names)} with {n:,} labels: {mark}" for (n, mark), names in learners.items()]


def _numbers_of_replicates(cells: list[MeasuredCell]) -> str:
    """Such as `3` or `12 to 3`, from the smallest size to the largest."""
    n_each = {cell.n_train: len({fit.draw for fit in cell.replicates}) for cell in cells}
    first, last = n_each[min(n_each)], n_each[max(n_each)]
    return str(last) if first == last else f"{first} to {last}"


def _shown(cell: MeasuredCell) -> Json:
    """A cell's row in the table of what was run."""
    settings = [", ".join(f"{key} {_text(value)}" for key, value in setting.items()) for setting in cell.settings or []]
    return {
        "learner": cell.learner,
        "n_train": cell.n_train,
        "status": cell.status,
        "reason": cell.reason,
        "settings": "; ".join(dict.fromkeys(settings)),
        "epochs": _span(cell.epochs),
        "n_parameters": _span(cell.n_parameters),
    }


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _span(values: list[Any] | None) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _hardware(cells: list[MeasuredCell], timed: list[CellCost]) -> list[str]:
    """Each distinct combination of accelerator, precision, threads and processor that cells ran on."""
    hosts = {(cell.learner, cell.n_train): f"{cell.processor}, {cell.cores} cores" for cell in timed}
    return list(dict.fromkeys(
        f"{cell.accelerator}, precision {cell.precision}, {cell.threads} threads "
        f"({hosts[cell.learner, cell.n_train]})" for cell in cells
    ))  # fmt: skip


def _versions(cells: list[MeasuredCell]) -> dict[str, str]:
    of_packages: dict[str, set[str]] = {}
    for cell in cells:
        for package, version in cell.versions.items():
            of_packages.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions)) for package, versions in of_packages.items()}
