"""How far apart the same cell is on another machine: what `stages.audit` allows.

    python -m benchmarks.tolerance train FOLDER --out FILE [--threads N] [--old] [--jobs N]
    python -m benchmarks.tolerance compare FILE FILE ... --out stages/audit/tolerance.json

`train` makes cells of the default study on this machine's processors, as they are or with other threads or the
instructions of processors without AVX2 (--old), and writes what every replicate reaches in every metric. `compare`
tells, by kind of learner, the largest difference that one replicate shows from the first file. What was measured is in
benchmarks/machines.
"""

import argparse
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from stages.audit import machine
from stages.audit.recorded import digest
from stages.common import artefacts, provenance
from stages.evaluate.metrics import METRICS
from stages.run.warmth import Warmth
from stages.train.jobs import ON_CPU

ROOT = Path(__file__).parents[1]
LEARNERS = ("large_nn", "medium_nn", "small_nn", "gradient_boosting", "logistic_regression")
SIZES = (65536, 32768, 16384, 8192, 4096, 2048, 1024)
SLOW = ("random_forest", "nearest_neighbours")
FEWER_SIZES = (8192, 1024)
OLD = {"OPENBLAS_CORETYPE": "Nehalem", "ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "SSE41",
       "MKL_CBWR": "COMPATIBLE", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}  # fmt: skip
PACKAGES = ("numpy", "scipy", "scikit-learn", "lightgbm", "torch")
DIGITS = 7


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tolerance", description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train")
    train.add_argument("folder", type=Path)
    train.add_argument("--threads", type=int, default=1)
    train.add_argument("--old", action="store_true")
    train.add_argument("--jobs", type=int, default=1)
    train.add_argument("--out", type=Path, required=True)
    train.set_defaults(command=lambda of: save(of.out, trained(of.folder.resolve(), of.threads, of.old, of.jobs)))
    compare = commands.add_parser("compare")
    compare.add_argument("files", type=Path, nargs="+")
    compare.add_argument("--out", type=Path, required=True)
    compare.set_defaults(
        command=lambda of: save(of.out, compared({path.stem: artefacts.load_json(path) for path in of.files}))
    )
    arguments = parser.parse_args()
    arguments.command(arguments)


def save(path: Path, found: dict[str, Any]) -> None:
    artefacts.save_json(path, found)
    print(f"written: {path}")


def trained(at: Path, threads: int, is_old: bool, jobs: int) -> dict[str, Any]:
    """What cells reach: the hash of their predictions, and of every replicate each metric."""
    shutil.rmtree(at, ignore_errors=True)
    for name in ("stages", "conf"):
        shutil.copytree(ROOT / name, at / name, ignore=shutil.ignore_patterns("__pycache__"))
    held = OLD if is_old else {}
    environment = Warmth(threads, is_needed=False).cold | held | {ON_CPU: "1"}
    overrides = [f"train.threads={threads}", f"learners=[{','.join(LEARNERS + SLOW)}]"]
    for arguments in (["compose", *overrides], ["prepare"], ["subsample"]):
        run(at, environment, *arguments)
    cells = [(learner, n) for n in SIZES for learner in LEARNERS] + [(name, n) for name in SLOW for n in FEWER_SIZES]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda learner: run(at, environment, "train", "--tune", learner), LEARNERS + SLOW))
        list(pool.map(lambda of: run(at, environment, "train", of[0], str(of[1])), cells))
    return {
        "machine": machine.told(), "threads": threads, "held_to": held, "versions": provenance.versions(*PACKAGES),
        "cells": {f"{learner}-{n}": reached(at, learner, n) for learner, n in cells},
    }  # fmt: skip


def run(at: Path, environment: dict[str, str], stage: str, *arguments: str) -> None:
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    subprocess.run(command, cwd=at, env=environment, check=True, stdout=subprocess.DEVNULL)


def reached(at: Path, learner: str, n: int) -> dict[str, Any]:
    labels = np.array(artefacts.load_array(at / artefacts.PREPARED / "test_labels.npy"))
    folder = at / artefacts.cell_path(learner, n)
    predicted = artefacts.load_predictions(folder)
    metrics = {name: metric.measure(labels, predicted)[0].round(DIGITS).tolist() for name, metric in METRICS.items()}
    kind = artefacts.load_json(folder / "cell.json")["kind"]
    return {"kind": kind, "sha256": digest(folder / "predictions.npz", "sha256"), "metrics": metrics}


def compared(sides: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By kind and metric the largest difference of a replicate on any side from the first."""
    (_, first), *others = sides.items()
    largest: dict[str, dict[str, float]] = {}
    pairs = [(cell, of["cells"][name]) for name, cell in first["cells"].items() for _, of in others]
    for one, another in pairs:
        of_kind = largest.setdefault(one["kind"], dict.fromkeys(METRICS, 0.0))
        for name in METRICS:
            of_kind[name] = max(of_kind[name], apart(one["metrics"][name], another["metrics"][name]))
    equal = sum(one["sha256"] == another["sha256"] for one, another in pairs)
    told = {name: {key: side[key] for key in ("machine", "threads", "held_to", "versions")}
            for name, side in sides.items()}  # fmt: skip
    return {"largest_difference": largest, "measured": told, "cells_compared": len(pairs), "of_these_equal": equal}


def apart(one: Sequence[float], another: Sequence[float]) -> float:
    """In millionths, rounded up: no difference may be told as none."""
    millionths = 1e6 * float(np.abs(np.subtract(one, another)).max())
    return math.ceil(round(millionths, DIGITS - 6)) / 1e6


if __name__ == "__main__":
    main()
