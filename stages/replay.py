"""A stranger's replay: train the committed study anew and compare every cell with its committed SHA-256.

    python -m stages.replay          (`make replay`)

The study runs in a clone of its own with an empty cache, so that nothing here is touched and nothing is taken over.
Exit status 0: equal bits or within tolerance; 1: a cell is different.
"""

import argparse
import csv
import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Literal

from configobj import ConfigObj

from stages.audit import machine
from stages.audit.say import printable
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


Found = Literal["equal bits", "within tolerance", "different"]


class Replayed(Record):
    """metric: that of the picture, or the one that is furthest beyond its tolerance; apart: the difference of the
    means in it, 0 with equal bits."""

    learner: str
    n_train: int
    found: Found
    metric: str
    apart: float
    tolerance: float


class Receipt(Record):
    """Of a replay. commit: what was trained."""

    schema_version: int
    commit: str
    metric: str
    machine: str
    versions: dict[str, str]
    cells: list[Replayed]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.replay", description=__doc__)
    parser.add_argument("--jobs", type=int, default=None, help="cells at once; default: all cores")
    arguments = parser.parse_args()
    commit = git("rev-parse", "HEAD")
    if commit is None or git("show", f"HEAD:{RESULTS}/hashes.json") is None:
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
    sys.exit(1 if counts["different"] else 0)


def trained_anew(commit: str, jobs: int | None) -> Path:
    """A clone in which the study ran; raises InputError with its own line where it could not."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ".", str(PLACE)], check=True)
    subprocess.run(["git", "checkout", "--quiet", "--detach", commit], cwd=PLACE, check=True)
    raw = Path(read_yaml(PARAMS)["dataset"]["path"])
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
    was = json.loads(git("show", f"{commit}:{RESULTS}/hashes.json") or "{}")
    now, summary = (artefacts.load_json(at / RESULTS / name) for name in ("hashes.json", "metrics.json"))
    metric = summary["metric"]
    texts = [git("show", f"{commit}:{RESULTS}/curves.csv") or "", artefacts.load_text(at / RESULTS / "curves.csv")]
    means = [means_of(text) for text in texts]
    kinds = {cell["learner"]: cell["kind"] for cell in artefacts.load_json(at / RESULTS / "cells.json")}
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
            told: Found = "equal bits" if is_same else "different" if beyond or is_lost else "within tolerance"
            by = 0.0 if is_same else 1e9 if is_lost else apart.get(worst, 0.0)
            cells.append(Replayed(learner=learner, n_train=int(n), found=told, metric=worst, apart=by,
                                  tolerance=allowed(kind, worst)))  # fmt: skip
    return Receipt(schema_version=1, commit=commit, metric=metric, machine=machine.told(),
                   versions=provenance.versions("numpy", "scikit-learn", "torch", "lightgbm"), cells=cells)  # fmt: skip


def means_of(text: str) -> dict[tuple[str, str], dict[str, float]]:
    """By cell and metric, of the text of curves.csv."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        if row["mean"]:
            found.setdefault((row["learner"], row["n_train"]), {})[row["metric"]] = float(row["mean"])
    return found


if __name__ == "__main__":
    run(main)
