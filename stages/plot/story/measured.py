"""All that `prepare` and `evaluate` wrote, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common import artefacts, params, provenance
from stages.common.artefacts import PREPARED, RESULTS, Json
from stages.common.records import load_records
from stages.contract.advice import Advice, Option, OptionName
from stages.contract.cells import MeasuredCell
from stages.contract.claims import Claim
from stages.contract.costs import Costs
from stages.contract.dataset import Dataset
from stages.plot.language import Words
from stages.plot.params import Composed
from stages.plot.results import Results

STEPS = ("prepare", "subsample", "train", "evaluate", "plot")
PROMISES = Path(__file__).parents[1] / "promises.json"  # see benchmarks/README.md: of studies that nobody here made


@dataclass(frozen=True)
class Measured:
    """summary: metrics.json; shapes: shapes.json; classes: rows of classes.csv; promises: how often a told probability
    came true on outside curves, by how much was told; code: SHA-256 of each step's; params: of params.yaml,
    as composed; overrides: of conf/, with which it was composed."""

    card: Dataset
    cells: list[MeasuredCell]
    claims: list[Claim]
    advice: Advice
    costs: Costs
    summary: Json
    shapes: Json
    results: Results
    classes: list[Mapping[str, str]]
    promises: list[Json]
    code: Mapping[str, str]
    params: str
    overrides: list[str]

    @property
    def metric(self) -> str:
        return self.results.label

    @property
    def sizes(self) -> list[int]:
        return self.results.sizes

    @property
    def least(self) -> float:
        """The smallest gain worth having."""
        return float(self.summary["smallest_gain"])

    @property
    def networks(self) -> list[str]:
        """From small to large, by their parameters at the largest size."""
        sizes = {cell.learner: max(cell.n_parameters or [0]) for cell in self.cells if cell.kind == "network"}
        return sorted(sizes, key=lambda name: sizes[name])

    def option(self, name: OptionName) -> Option | None:
        return next((option for option in self.advice.options if option.option == name), None)

    def means(self, n_train: int) -> dict[str, float]:
        """Of the picture's metric by learner, those without a usable fit left out, the best first."""
        sign = -1 if self.summary["higher_is_better"] else 1
        rows = [row for row in self.results.rows if row["metric"] == self.results.metric and row["mean"]]
        found = {row["learner"]: float(row["mean"]) for row in rows if int(row["n_train"]) == n_train}
        return dict(sorted(found.items(), key=lambda item: sign * item[1]))


def load(words: Words) -> Measured:
    summary = artefacts.load_json(RESULTS / "metrics.json")
    label = words.told(summary["metric_label"])
    cells = load_records(RESULTS / "cells.json", list[MeasuredCell])
    results = Results(
        artefacts.load_csv(RESULTS / "curves.csv"), artefacts.load_csv(RESULTS / "forecast.csv"),
        frozenset((cell.learner, cell.n_train) for cell in cells if cell.marks),
        summary["metric"], label, summary["chance"], summary["constant"],
    )  # fmt: skip
    composed = params.load(Composed, "compose")
    classes: list[Any] = artefacts.load_csv(RESULTS / "classes.csv")
    return Measured(
        load_records(PREPARED / "dataset.json", Dataset), cells,
        load_records(RESULTS / "claims.json", list[Claim]),
        load_records(RESULTS / "advice.json", Advice), load_records(RESULTS / "costs.json", Costs),
        summary, artefacts.load_json(RESULTS / "shapes.json"), results, classes,
        artefacts.load_json(PROMISES)["bins"],
        {step: provenance.code_digest(Path("stages", step)) for step in STEPS},
        str(composed.sha256 or "").removeprefix("x"), composed.overrides,
    )  # fmt: skip
