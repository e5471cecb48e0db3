"""JSON schemas of what stages write, for other programs: `python -m stages.contract [--out FOLDER]`."""

import argparse
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from stages.common import artefacts
from stages.common.command import run
from stages.contract.advice import Advice
from stages.contract.audit import Audit
from stages.contract.cell import Cell, Choices, Timing
from stages.contract.cells import MeasuredCell
from stages.contract.claims import Claim
from stages.contract.costs import Costs
from stages.contract.dataset import Dataset
from stages.contract.report import Report

RECORDS: dict[str, Any] = {  # by the name of the file
    "dataset.json": Dataset,
    "cell.json": Cell,
    "tuning.json": Choices,  # data/tuning/<learner>/<n>.json
    "timing.json": Timing,  # data/timings/<learner>/<n>.json
    "cells.json": list[MeasuredCell],
    "claims.json": list[Claim],
    "advice.json": Advice,
    "costs.json": Costs,
    "report.json": Report,
    "audit.json": Audit,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.contract", description="JSON schemas of the artefacts.")
    parser.add_argument("--out", type=Path, help="write <name>.schema.json into this folder; else print them all")
    folder = parser.parse_args().out
    schemas = {name: TypeAdapter(record).json_schema() for name, record in RECORDS.items()}
    if folder is None:
        print(json.dumps(schemas, indent=1))
        return
    for name, schema in schemas.items():
        artefacts.save_json(folder / name.replace(".json", ".schema.json"), schema)
    print(f"contract: {len(schemas)} schemas in {folder}")


if __name__ == "__main__":
    run(main)
