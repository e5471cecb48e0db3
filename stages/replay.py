"""A stranger's replay: train the committed study anew and compare every cell with its committed SHA-256.

    python -m stages.replay          (`make replay`)

The study runs in a clone of its own with an empty cache, so that nothing here is touched and nothing is taken over.
Exit status 0: equal bits or within tolerance; 1: a cell is different; 2: the study does not run anew, or nothing is
different but a cell that timed out on one side was not compared.
"""

import argparse
import csv
import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from configobj import ConfigObj

from stages.audit import machine
from stages.audit.say import UNCHECKED, could, printable
from stages.audit.tolerance import allowed
from stages.common import artefacts, provenance
from stages.common.artefacts import RESULTS
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.params import PARAMS, read_yaml
from stages.common.records import Record
from stages.compose.surroundings import git

PLACE = Path(".dvc/tmp/replay")
RECEIPT = RESULTS / "replay.json"


Found = Literal["equal bits", "within tolerance", "different", "timed out"]


class Replayed(Record):
    """found: timed out where one side alone ran into the time limit. metric: that of the picture, or the one that is
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
        apart = f", {cell.metric} {cell.apart:.2g} apart of {cell.tolerance:.2g} allowed" if cell.apart else ""
        print(f"replay: {printable(cell.learner)}-{cell.n_train}: {cell.found}{apart}")
    counts = Counter(cell.found for cell in receipt.cells)
    print(f"replay: {', '.join(f'{n} {what}' for what, n in counts.items())}; receipt: {RECEIPT}")
    sys.exit(status_of(receipt.cells))


def status_of(cells: Sequence[Replayed]) -> int:
    found = {cell.found for cell in cells}
    return 1 if "different" in found else UNCHECKED if "timed out" in found else 0


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
    done = subprocess.run([sys.executable, "-m", "stages.run", *options], cwd=PLACE, check=False)
    if done.returncode:
        raise InputError(f"the study does not run anew; see {PLACE / 'run.log'}")
    return PLACE


def compared(commit: str, at: Path) -> Receipt:
    def both(name: str) -> tuple[str, str]:
        return git("show", f"{commit}:./{RESULTS}/{name}") or "", artefacts.load_text(at / RESULTS / name)

    was, now = (json.loads(text) for text in both("hashes.json"))
    metric = artefacts.load_json(at / RESULTS / "metrics.json")["metric"]
    means = [means_of(text) for text in both("curves.csv")]
    infos = [{(of["learner"], str(of["n_train"])): of for of in json.loads(text)} for text in both("cells.json")]
    hosts = [
        {(of["processor"], of.get("instructions")) for of in json.loads(text)["cells"]} for text in both("costs.json")
    ]
    is_of_study = hosts[0] == hosts[1] and made_with(infos[0]) == made_with(infos[1])
    kinds = {learner: of["kind"] for (learner, _), of in infos[1].items()}
    cells = []
    for learner in was | now:
        for n in was.get(learner, {}) | now.get(learner, {}):  # one that a side lacks is another
            files = was.get(learner, {}).get(n)
            is_same = files is not None and now.get(learner, {}).get(n) == files
            kind, (first, second) = kinds.get(learner, ""), (of.get((learner, n), {}) for of in means)
            apart = {of: abs(first[of] - second[of]) if first.keys() == second.keys() else 1e9 for of in first | second}
            beyond = {of: by - allowed(kind, of) for of, by in apart.items() if by > allowed(kind, of)}
            worst = max(beyond, key=lambda of: beyond[of], default=metric)
            is_lost = files is None or learner not in now or n not in now[learner]
            statuses = {of.get((learner, n), {}).get("status") for of in infos}
            is_late = "timeout" in statuses and len(statuses) > 1
            told = judged(is_same, is_lost, is_late, is_of_study or bool(beyond))
            by = 0.0 if is_same else 1e9 if is_lost else apart.get(worst, 0.0)
            cells.append(Replayed(learner=learner, n_train=int(n), found=told, metric=worst, apart=by,
                                  tolerance=allowed(kind, worst)))  # fmt: skip
    return Receipt(schema_version=1, commit=commit, metric=metric, machine=machine.told(), is_of_study=is_of_study,
                   versions=provenance.versions("numpy", "scikit-learn", "torch", "lightgbm"), cells=cells)  # fmt: skip


def judged(is_same: bool, is_lost: bool, is_late: bool, is_beyond: bool) -> Found:
    if is_same:
        return "equal bits"
    if is_late and not is_lost:
        return "timed out"
    return "different" if is_lost or is_beyond else "within tolerance"


def made_with(infos: Mapping[tuple[str, str], Any]) -> set[tuple[object, ...]]:
    """Accelerators and packages of all cells, of which bits follow."""
    return {(of["accelerator"], of.get("name"), *sorted(of["versions"].items())) for of in infos.values()}


def means_of(text: str) -> dict[tuple[str, str], dict[str, float]]:
    """By cell and metric, of the text of curves.csv."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        if row["mean"]:
            found.setdefault((row["learner"], row["n_train"]), {})[row["metric"]] = float(row["mean"])
    return found


if __name__ == "__main__":
    run(partial(could, main))
