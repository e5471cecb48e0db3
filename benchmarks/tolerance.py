"""How far apart the same cell is with another number of threads and other instruction sets: `python -m
benchmarks.tolerance FOLDER --out stages/audit/tolerance.json`.

Cells of the default study are trained as they are, with two threads, and with the libraries held to the instructions
of processors without AVX2, which is what another class of machine comes to. What is told is the largest difference that
one replicate shows in each metric, by kind of learner.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from stages.audit import machine
from stages.common import artefacts
from stages.evaluate.metrics import METRICS

ROOT = Path(__file__).parents[1]
LEARNERS = ("logistic_regression", "gradient_boosting", "small_nn", "large_nn", "random_forest", "nearest_neighbours")
OLD = {"OPENBLAS_CORETYPE": "Nehalem", "ATEN_CPU_CAPABILITY": "default", "DNNL_MAX_CPU_ISA": "SSE41",
       "MKL_CBWR": "COMPATIBLE", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}  # fmt: skip
VARIANTS: dict[str, tuple[int, dict[str, str]]] = {"as it is": (1, {}), "2 threads": (2, {}), "without AVX2": (1, OLD)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tolerance", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 8192])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    for name, (threads, environment) in VARIANTS.items():
        trained(arguments.folder.resolve() / name.replace(" ", "_"), threads, environment, arguments.sizes)
        print(f"{name}: trained", flush=True)
    report = compared(arguments.folder.resolve(), arguments.sizes)
    print(report)
    if arguments.out:
        artefacts.save_json(arguments.out, report)


def trained(at: Path, threads: int, environment: dict[str, str], sizes: list[int]) -> None:
    shutil.rmtree(at, ignore_errors=True)
    for name in ("stages", "conf"):
        shutil.copytree(ROOT / name, at / name, ignore=shutil.ignore_patterns("__pycache__"))
    overrides = [f"scale.sizes={sizes}", f"train.threads={threads}", f"learners=[{','.join(LEARNERS)}]"]
    for arguments in (["compose", *overrides], ["prepare"], ["subsample"]):
        run(at, {}, *arguments)
    for learner in LEARNERS:
        run(at, environment, "train", "--tune", learner)
        for n in sizes:
            run(at, environment, "train", learner, str(n))


def run(at: Path, environment: dict[str, str], stage: str, *arguments: str) -> None:
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    subprocess.run(command, cwd=at, env=os.environ | environment, check=True, capture_output=True)


def compared(folder: Path, sizes: list[int]) -> dict[str, Any]:
    base, *others = (folder / name.replace(" ", "_") for name in VARIANTS)
    labels = np.array(artefacts.load_array(base / artefacts.PREPARED / "test_labels.npy"))
    largest: dict[str, dict[str, float]] = {}
    n_equal = n_cells = 0
    for learner in LEARNERS:
        for n in sizes:
            folders = [at / artefacts.cell_path(learner, n) for at in (base, *others)]
            kind = artefacts.load_json(folders[0] / "cell.json")["kind"]
            predicted = [artefacts.load_predictions(of) for of in folders]
            for other in predicted[1:]:
                n_cells += 1
                n_equal += bool(np.array_equal(other, predicted[0]))
                for name, metric in METRICS.items():
                    values = [metric.measure(labels, of)[0] for of in (predicted[0], other)]
                    apart = float(np.abs(values[0] - values[1]).max())
                    of_kind = largest.setdefault(kind, {})
                    of_kind[name] = max(of_kind.get(name, 0.0), round(apart, 6))
    return {
        "largest_difference": largest,
        "measured": {"machine": machine.told(), "variants": list(VARIANTS), "learners": list(LEARNERS), "sizes": sizes,
                     "cells_compared": n_cells, "of_these_equal": n_equal},
    }  # fmt: skip


if __name__ == "__main__":
    main()
