"""The machine: whether it is of the class that made the study's cells, and what of it counts."""

import os
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from stages.common import artefacts, params, provenance
from stages.common.params import Grid
from stages.common.records import load_records
from stages.contract.cell import Cell, Timing


@cache
def is_of_study() -> bool:
    """The same processor and packages as every cell's: then the same bytes are due."""
    return not unlike()


@cache
def unlike() -> tuple[str, ...]:
    """What is different here, in words: here and there."""
    grid = params.load(Grid, "grid")
    cells = [(learner, n) for learner in grid.learners for n in grid.sizes]
    found: dict[str, None] = {}
    here = (provenance.cpu_name(), provenance.instructions())
    libraries = provenance.linear_algebra()
    for cell in cells:
        timing = load_records(artefacts.timing_path(*cell), Timing)
        there = (timing.host.processor, timing.host.instructions)
        if there[0] != here[0] or there[1] not in (None, here[1]):
            told_of = (f"{name} ({sets or 'instructions not told'})" for name, sets in (there, here))
            found[f"processor {' of the study, '.join(told_of)} here"] = None
        if timing.host.linear_algebra not in (None, libraries):
            found[f"linear algebra by {timing.host.linear_algebra} in the study, {libraries} here"] = None
        info = load_records(artefacts.cell_path(*cell) / "cell.json", Cell)
        of_cell = (info.accelerator, info.name)
        if info.kind == "network" and of_cell != (again := accelerator(info.accelerator)):
            names = (" ".join(filter(None, of)) for of in (of_cell, again))
            found[f"networks on {' in the study, '.join(names)} here"] = None
        for package, version in info.versions.items():
            now = provenance.versions().get(package) or installed().get(normal(package))
            if now != version:
                found[f"{package} {version} of the study, {now or 'none'} here"] = None
    return tuple(found)


@cache
def accelerator(of_cell: str) -> tuple[str, str | None]:
    """What networks that were trained on this would be replayed on here, and its name, as cell.json has them: a
    processor is everywhere."""
    from stages.train.network.hardware import find_hardware, processor  # takes seconds to import

    hardware = processor() if of_cell == "cpu" else find_hardware()
    return hardware.accelerator, hardware.name


@cache
def installed() -> dict[str, str]:
    return {normal(str(of.metadata["Name"])): of.version for of in distributions()}


def locked() -> dict[str, str]:
    """Version by package, of requirements.lock."""
    path = Path("requirements.lock")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = [line.split(";")[0].strip().split("==") for line in lines if "==" in line]
    return {normal(name): version for name, version in pairs}


def normal(name: str) -> str:
    return name.split("[")[0].lower().replace("_", "-").replace(".", "-")


def told() -> str:
    """Processor, its instruction sets that count, cores, libraries of linear algebra."""
    cores = f"{os.cpu_count()} cores"
    return ", ".join([provenance.cpu_name(), provenance.instructions(), cores, provenance.linear_algebra()])
