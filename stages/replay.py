"""A stranger's replay: train the committed study anew and compare every cell with its committed SHA-256.

    python -m stages.replay          (`make replay`)

The study runs in a clone of its own with an empty cache, so that nothing here is touched and nothing is taken over.
Exit status 0: equal bits or within tolerance; 1: a cell is different; 2: the study does not run anew, or nothing is
different but a cell was not compared: it timed out on one side, or its networks were trained on a GPU and this machine
is of another class.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from configobj import ConfigObj

from stages.audit import machine
from stages.audit.replay import OF_MACHINE, WITH_RANDOM, WITH_ROUNDING, is_comparable
from stages.audit.say import UNCHECKED, could, printable
from stages.audit.tolerance import allowed
from stages.common import artefacts, provenance
from stages.common.artefacts import RESULTS
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.params import PARAMS, read_yaml
from stages.common.records import Record
from stages.compose.surroundings import git, text_at
from stages.train.jobs import ON_CPU

PLACE = Path(".dvc/tmp/replay")
RECEIPT = RESULTS / "replay.json"
OF_HOST = ("processor", "instructions", "linear_algebra")
Name = tuple[str, str]  # learner and size

Found = Literal["equal bits", "within tolerance", "different", "timed out", "other accelerator"]
NOT_COMPARED = {"timed out", "other accelerator"}


class Replayed(Record):
    """found: equal bits of the predictions, and of cell.json but for what it tells of another machine or of other
    packages; timed out where one side alone ran into the time limit; other accelerator where networks were trained on a
    GPU and another class of machine made others. metric: that of the picture, or the one that is
    furthest beyond its tolerance; apart: the difference of the means in it, 0 with equal bits."""

    learner: str
    n_train: int
    found: Found
    metric: str
    apart: float
    tolerance: float


class Receipt(Record):
    """Of a replay. commit: what was trained; is_of_study: whether on the class of machine that the study ran on, where
    the same bits are due."""

    schema_version: int
    commit: str
    metric: str
    machine: str
    is_of_study: bool
    versions: dict[str, str]
    cells: list[Replayed]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.replay", description=__doc__)
    parser.add_argument("--jobs", type=int, default=None, help="cells at once; default: all cores")
    arguments = parser.parse_args()
    commit = git("rev-parse", "HEAD")
    if commit is None or git("show", f"HEAD:./{RESULTS}/hashes.json") is None:
        raise InputError("the last commit holds no results/hashes.json; there is nothing to replay")
    at = trained_anew(commit, arguments.jobs)
    receipt = compared(commit, at)
    artefacts.save_json(RECEIPT, receipt.model_dump())
    shutil.rmtree(PLACE)
    for cell in receipt.cells:
        of = "" if cell.found in NOT_COMPARED else f" of {cell.tolerance:.2g} allowed"
        apart = f", {cell.metric} {cell.apart:.2g} apart{of}" if cell.apart else ""
        print(f"replay: {printable(cell.learner)}-{cell.n_train}: {cell.found}{apart}")
    counts = Counter(cell.found for cell in receipt.cells)
    print(f"replay: {', '.join(f'{n} {what}' for what, n in counts.items())}; receipt: {RECEIPT}")
    sys.exit(status_of(receipt.cells))


def status_of(cells: Sequence[Replayed]) -> int:
    found = {cell.found for cell in cells}
    return 1 if "different" in found else UNCHECKED if found & NOT_COMPARED else 0


def trained_anew(commit: str, jobs: int | None) -> Path:
    """A clone in which the study ran; raises InputError with its own line where it could not."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ".", str(PLACE)], check=True)
    subprocess.run(["git", "checkout", "--quiet", "--detach", commit], cwd=PLACE, check=True)
    raw = Path(read_yaml(PLACE / PARAMS)["dataset"]["path"])
    if raw.exists() and not (PLACE / raw).exists() and not raw.is_absolute():  # the user's own, which Git does not hold
        (PLACE / raw).parent.mkdir(parents=True, exist_ok=True)
        (PLACE / raw).symlink_to(raw.resolve())
    config = ConfigObj(str(PLACE / ".dvc/config"))
    config.get("core", {}).pop("remote", None)  # from which nothing is to come, nor from a cache that a team shares
    config["cache"] = {"dir": str((PLACE / ".dvc/cache").resolve())}
    config.write()
    options = [] if jobs is None else ["--jobs", str(jobs)]
    cells = artefacts.load_json(PLACE / RESULTS / "cells.json")
    is_of_cpu = is_comparable(*(cell["accelerator"] for cell in cells))
    environment = {key: value for key, value in os.environ.items() if key != ON_CPU}
    environment |= {ON_CPU: "1"} if is_of_cpu else {}
    done = subprocess.run([sys.executable, "-m", "stages.run", *options], cwd=PLACE, env=environment, check=False)
    if done.returncode:
        raise InputError(f"the study does not run anew; see {PLACE / 'run.log'}")
    return PLACE


@dataclass(frozen=True)
class Side:
    """Of a study, by learner and size: files' SHA-256, mean by metric, and what cell.json tells; hosts: processor, its
    instructions and linear algebra, of all cells."""

    hashes: dict[Name, dict[str, str]]
    means: dict[Name, dict[str, float]]
    infos: dict[Name, dict[str, Any]]
    hosts: Set[tuple[object, ...]]

    @classmethod
    def read(cls, text_of: Callable[[str], str]) -> "Side":
        """text_of: the text of a file in results/."""
        hashes = json.loads(text_of("hashes.json"))
        cells, costs = json.loads(text_of("cells.json")), json.loads(text_of("costs.json"))
        return cls(
            hashes={(learner, n): files for learner, of_learner in hashes.items() for n, files in of_learner.items()},
            means=means_of(text_of("curves.csv")),
            infos={(cell["learner"], str(cell["n_train"])): cell for cell in cells},
            hosts={tuple(cell.get(part) for part in OF_HOST) for cell in costs["cells"]},
        )

    def made_with(self) -> Set[tuple[object, ...]]:
        """Accelerators and packages of all cells, of which bits follow."""
        return {(of["accelerator"], of.get("name"), *sorted(of["versions"].items())) for of in self.infos.values()}


def compared(commit: str, at: Path) -> Receipt:
    was = Side.read(lambda name: text_at(commit, f"{RESULTS}/{name}") or "")
    now = Side.read(lambda name: artefacts.load_text(at / RESULTS / name))
    metric = artefacts.load_json(at / RESULTS / "metrics.json")["metric"]
    is_of_study = was.hosts == now.hosts and was.made_with() == now.made_with()
    cells = [replayed(of, was, now, metric, is_of_study) for of in was.hashes | now.hashes]
    return Receipt(schema_version=1, commit=commit, metric=metric, machine=machine.told(), is_of_study=is_of_study,
                   versions=provenance.versions("numpy", "scikit-learn", "torch", "lightgbm"), cells=cells)  # fmt: skip


def replayed(of: Name, was: Side, now: Side, metric: str, is_of_study: bool) -> Replayed:
    """One cell; one that a side lacks is another."""
    kind = now.infos.get(of, {}).get("kind", "")
    first, second = (side.means.get(of, {}) for side in (was, now))
    apart = {name: abs(first[name] - second[name]) if first.keys() == second.keys() else 1e9 for name in first | second}
    beyond = {name: by - allowed(kind, name) for name, by in apart.items() if by > allowed(kind, name)}
    worst = max(beyond, key=lambda name: beyond[name], default=metric)
    is_lost = of not in was.hashes or of not in now.hashes
    is_same = not is_lost and was.hashes[of] == now.hashes[of]
    can_be_near = is_comparable(*(side.infos.get(of, {}).get("accelerator", "cpu") for side in (was, now)))
    is_beyond = is_of_study or (can_be_near and bool(beyond))
    if not is_same and not is_lost and not is_of_study:  # where cell.json names another machine, or other packages
        is_true = is_as_hashed(was, of)
        is_alike = told(was, of, OF_MACHINE) == told(now, of, OF_MACHINE)
        is_same = is_true and is_alike and predictions(was, of) == predictions(now, of)
        but = WITH_ROUNDING if can_be_near else WITH_RANDOM
        is_beyond |= not is_true or told(was, of, but) != told(now, of, but)
    statuses = {side.infos.get(of, {}).get("status") for side in (was, now)}
    is_late = "timeout" in statuses and len(statuses) > 1
    verdict = judged(is_same, is_lost, is_late, is_beyond, can_be_near)
    by = 0.0 if is_same else 1e9 if is_lost else apart.get(worst, 0.0)
    learner, n_train = of
    return Replayed(learner=learner, n_train=int(n_train), found=verdict, metric=worst, apart=by,
                    tolerance=allowed(kind, worst))  # fmt: skip


def predictions(side: Side, of: Name) -> str | None:
    return side.hashes[of].get("predictions.npz")


def told(side: Side, of: Name, but: Set[str]) -> dict[str, Any]:
    """What cell.json tells, as results/cells.json repeats it."""
    return {key: value for key, value in side.infos.get(of, {}).items() if key not in but | {"marks"}}


def is_as_hashed(side: Side, of: Name) -> bool:
    """Whether what results/cells.json repeats of a cell is the cell.json of which hashes.json has the SHA-256."""
    content = artefacts.json_of(told(side, of, frozenset())).encode()
    return hashlib.sha256(content).hexdigest() == side.hashes[of].get("cell.json")


def judged(is_same: bool, is_lost: bool, is_late: bool, is_beyond: bool, can_be_near: bool) -> Found:
    if is_same:
        return "equal bits"
    if is_late and not is_lost:
        return "timed out"
    if is_lost or is_beyond:
        return "different"
    return "within tolerance" if can_be_near else "other accelerator"


def means_of(text: str) -> dict[Name, dict[str, float]]:
    """By cell and metric, of the text of curves.csv."""
    found: dict[Name, dict[str, float]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        if row["mean"]:
            found.setdefault((row["learner"], row["n_train"]), {})[row["metric"]] = float(row["mean"])
    return found


if __name__ == "__main__":
    run(partial(could, main))
