"""The cells that were trained: all there, all shown, and with which packages on which machine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stages.audit import machine
from stages.audit.recorded import Recorded
from stages.audit.say import MAKE, all_or, fails, passes, short, warns
from stages.common import artefacts
from stages.common.artefacts import PREDICTIONS, RESULTS
from stages.common.records import load_records
from stages.contract.audit import Check
from stages.contract.cell import Cell
from stages.contract.cells import MeasuredCell
from stages.contract.report import Report

HASHES = RESULTS / "hashes.json"


def check(of: Recorded) -> Iterator[Check]:
    learners, sizes = of.params["grid"]["learners"], of.params["grid"]["sizes"]
    cells = [(learner, n) for learner in learners for n in sizes]
    yield from all_or(present(cells), "cells of the grid", str(PREDICTIONS), f"{len(cells)} cells, no more",
                      f"{len(cells)} cells")  # fmt: skip
    yield from all_or(shown(cells), "failures", str(RESULTS / "report.html"), "every failed fit stands in the report",
                      "all do, or none failed")  # fmt: skip
    yield from all_or(hashed(of, cells), "SHA-256 of cells", str(HASHES), "as in results/hashes.json",
                      f"{2 * len(cells)} files, all the same")  # fmt: skip
    yield from environment()


def present(cells: Sequence[tuple[str, int]]) -> Iterator[Check]:
    here = {(path.parent.name, int(path.name)) for path in PREDICTIONS.glob("*/*") if path.name.isdigit()}
    for learner, n in sorted(set(cells) - here):
        yield fails(
            "cells of the grid", str(artefacts.cell_path(learner, n)), "there", "missing", "`dvc pull`, or `make repro`"
        )
    for learner, n in sorted(here - set(cells)):
        yield warns("cells of the grid", str(artefacts.cell_path(learner, n)), "named by the grid", "not named",
                    "`make prune` removes it")  # fmt: skip


def shown(cells: Sequence[tuple[str, int]]) -> Iterator[Check]:
    told = {(of.learner, of.n_train): of.marks for of in load_records(RESULTS / "cells.json", list[MeasuredCell])}
    report = load_records(RESULTS / "report.json", Report)
    for cell in cells:
        info = load_records(artefacts.cell_path(*cell) / "cell.json", Cell)
        if info.status == "ok":
            continue
        if not told.get(cell):
            yield fails(
                "failures", str(RESULTS / "cells.json"), f"a mark: {cell[0]}-{cell[1]} is {info.status}", "none", MAKE
            )
        elif not report.marked:
            yield fails(
                "failures", str(RESULTS / "report.json"), f"names {cell[0]}-{cell[1]}, {info.status}", "silent", MAKE
            )


def hashed(of: Recorded, cells: Sequence[tuple[str, int]]) -> Iterator[Check]:
    recorded = artefacts.load_json(HASHES)
    for learner, n in cells:
        was, folder = recorded.get(learner, {}).get(str(n), {}), artefacts.cell_path(learner, n)
        if not folder.is_dir():
            continue
        now = artefacts.sha256_of(folder)
        for name in sorted(was.keys() | now.keys()):
            if was.get(name) != now.get(name):
                is_list_wrong = of.is_as_recorded(str(folder)) and not of.is_as_recorded(str(HASHES))
                wrong, other = (HASHES, folder / name) if is_list_wrong else (folder / name, HASHES)
                told = was if is_list_wrong else now
                expected = f"{short((now if is_list_wrong else was).get(name))} by {other}"
                remedy = f"`git checkout {HASHES}`" if is_list_wrong else f"`dvc checkout --force {folder}`"
                yield fails("SHA-256 of cells", str(wrong), expected, short(told.get(name)), remedy)


def environment() -> Iterator[Check]:
    locked, here = machine.locked(), machine.installed()
    odd = [f"{name} {version} locked, {here.get(name, 'none')} here" for name, version in locked.items()
           if here.get(name, "").split("+")[0] != version.split("+")[0]]  # fmt: skip
    name = "packages"
    if not locked:
        yield warns(name, "requirements.lock", "a lock file", "none", "`make lock`")
    elif odd:
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        yield warns(name, "requirements.lock", "what it names is installed", f"{odd[0]}{more}", "`make install`")
    else:
        yield passes(name, "requirements.lock", "what it names is installed", f"{len(locked)} packages, all the same")
    other = machine.unlike()
    expected = "the processor and the packages that made the cells"
    if other:
        yield warns("machine", "data/timings", expected, "; ".join(other[:3]),
                    "nothing to mend; a replay is then held to a tolerance, not to bits")  # fmt: skip
    else:
        yield passes("machine", "data/timings", expected, machine.told())
    yield hardware(infos())


def hardware(cells: Sequence[Cell]) -> Check:
    """Whether all cells of a kind were made on one accelerator with as many threads, and all of a learner with one
    precision: else curves differ by these as well as by what is studied."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        on = " ".join(filter(None, (cell.accelerator, cell.name)))
        found.setdefault(f"cells of kind {cell.kind}", set()).add(f"{on}, threads {cell.threads}")
        found.setdefault(f"cells of {cell.learner}", set()).add(cell.precision)
    name, expected = (
        "hardware of cells",
        "one accelerator and number of threads for a kind, one precision for a learner",
    )
    told = "; ".join(f"{of}: {' and '.join(sorted(ways))}" for of, ways in found.items())
    if odd := [of for of, ways in found.items() if len(ways) > 1]:
        remedy = f"train all {odd[0]} on one kind of machine with the same params"
        return warns(name, str(PREDICTIONS), expected, told, remedy)
    return passes(name, str(PREDICTIONS), expected, told)


def infos() -> list[Cell]:
    return [load_records(path, Cell) for path in sorted(Path(PREDICTIONS).glob("*/*/cell.json"))]
