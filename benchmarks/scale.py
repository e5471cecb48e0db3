"""Time and peak memory of every stage as rows and cells grow: `python -m benchmarks.scale FOLDER --out report.json`.

FOLDER, which must not exist, gets copies of the project. First generated tables (12 columns) of more and more rows,
three quarters of which are trained on: each stage is a process of its own, one thread, whose CPU seconds and peak
memory the system tells; networks train one epoch and never stop before, so that a ratio of times is that of the rows.
Then grids of more and more cells of small digits, by `stages.run`, and what a run without a change takes there.
Exponents are slopes of the logarithms, 1 is linear: between the last two numbers of rows, and over all of cells.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

ROWS = (13_500, 135_000, 1_350_000, 4_050_000)
TRAINED = {13_500: 10_000, 135_000: 100_000, 1_350_000: 1_000_000, 4_050_000: 3_000_000}
LEARNERS = ("logistic_regression", "gradient_boosting", "small_nn", "large_nn")
MOST_ROWS = {"gradient_boosting": 1_350_000, "large_nn": 1_350_000}  # more would take hours
GRIDS = {10: (2, 5), 50: (5, 10), 150: (15, 10)}  # cells: learners and sizes
TABLE = """
    SELECT random() AS a, random() * 100 AS b, ln(random() + 1e-9) AS c, random() AS d, random() AS e, random() AS f,
        random() AS g, random() AS h, 'k' || CAST(random() * 50 AS INT) AS few, 'z' || CAST(random() * 5000 AS INT) AS
        many, CASE WHEN random() < 0.3 THEN NULL ELSE random() END AS gaps,
        DATE '2020-01-01' + CAST(random() * 1000 AS INT) AS day
    FROM range({n})"""
Measured = dict[str, dict[int, dict[str, float]]]  # of each stage, by rows or cells: seconds, and gigabytes of memory


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS[-1], help=f"tables up to so many of {ROWS}")
    parser.add_argument("--cells", type=int, default=150, help=f"grids up to so many of {tuple(GRIDS)}")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    by_rows: Measured = {}
    for n in [n for n in ROWS if n <= arguments.rows]:
        of_rows(arguments.folder / f"rows{n}", n, by_rows)
    by_cells: Measured = {}
    for n in [n for n in GRIDS if n <= arguments.cells]:
        of_cells(arguments.folder / f"cells{n}", n, by_cells)
    report = {
        "exponents": {name: exponent(of, "seconds", n_last=2) for name, of in by_rows.items()},
        "memory_exponents": {name: exponent(of, "gigabytes", n_last=2) for name, of in by_rows.items()},
        "exponents_of_cells": {name: exponent(of, "seconds") for name, of in by_cells.items()},
        "by_rows": by_rows, "by_cells": by_cells,
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def exponent(measured: dict[int, dict[str, float]], what: str, n_last: int | None = None) -> float | None:
    """Between the first and the last of the last so many measurements; None of a single one."""
    points = sorted(measured.items())[-n_last:] if n_last else sorted(measured.items())
    if len(points) < 2:
        return None
    (first, low), (last, high) = points[0], points[-1]
    return round(math.log(high[what] / low[what]) / math.log(last / first), 2)


def of_rows(folder: Path, n: int, found: Measured) -> None:
    copy_project(folder)
    generate(folder / "rows.parquet", n)
    n_train = TRAINED[n]
    run(folder, "stages.compose", "--reset", "scale=full", "scale.epochs=1", "scale.n_settings=1", "train.threads=1",
        "dataset=table", "dataset.path=rows.parquet", "dataset.target=y", "dataset.min_steps=1",
        f"scale.sizes=[{n_train}]", f"scale.tuning_rows={n_train}", f"learners=[{','.join(LEARNERS)}]",
        *(f"learners.{name}.patience=1000000" for name in LEARNERS if name.endswith("nn")))  # fmt: skip
    for stage in ("prepare", "subsample"):
        found.setdefault(stage, {})[n] = run(folder, f"stages.{stage}")
    for learner in [name for name in LEARNERS if n <= MOST_ROWS.get(name, n)]:
        run(folder, "stages.train", "--tune", learner)
        found.setdefault(f"train {learner}", {})[n] = run(folder, "stages.train.cell", learner, str(n_train))
    print(f"{n} rows: " + json.dumps({name: of[n] for name, of in found.items() if n in of}), flush=True)


def of_cells(folder: Path, n: int, found: Measured) -> None:
    """Logistic regressions that differ in nothing but their name."""
    copy_project(folder)
    n_learners, n_sizes = GRIDS[n]
    source = (folder / "conf/learners/logistic_regression.yaml").read_text(encoding="utf-8")
    names = [f"linear{i}" for i in range(n_learners)]
    for name in names:
        text = source.replace("logistic_regression:", f"{name}:", 1)
        (folder / f"conf/learners/{name}.yaml").write_text(text, encoding="utf-8")
    sizes = ",".join(str(64 + 32 * i) for i in range(n_sizes))
    run(folder, "stages.compose", "--reset", "dataset=digits", f"learners=[{','.join(names)}]",
        f"scale.sizes=[{sizes}]", "evaluate.claims.simple=linear0")  # fmt: skip
    for what, command in {"stages.run": ["stages.run"], "stages.run, no change": ["stages.run"],
                          "dvc repro, no change": ["dvc", "repro"], "evaluate": ["stages.evaluate"],
                          "plot": ["stages.plot"]}.items():  # fmt: skip
        found.setdefault(what, {})[n] = run(folder, *command)
    print(f"{n} cells: " + json.dumps({name: of[n] for name, of in found.items()}), flush=True)


def run(folder: Path, *command: str) -> dict[str, float]:
    """Seconds by the clock, CPU seconds with those of its children, and the peak memory of the largest process."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"{' '.join(command[:3])} failed")
    cpu = usage.ru_utime + usage.ru_stime
    found: dict[str, Any] = {"clock": time.perf_counter() - started, "seconds": cpu,
                             "gigabytes": usage.ru_maxrss * 1024 / 1e9}  # fmt: skip
    return {name: round(value, 3) for name, value in found.items()}


def copy_project(folder: Path) -> None:
    folder.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
    copied = subprocess.run(["tar", "cf", "-", "--null", "-T", "-"], input=listed, check=True, capture_output=True)
    subprocess.run(["tar", "xf", "-", "-C", str(folder)], input=copied.stdout, check=True)
    me = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
    for arguments in (["init", "--quiet"], ["add", "--all"], [*me, "commit", "--quiet", "-m", "start"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)


def generate(path: Path, n: int) -> None:
    """The class depends on a product of two columns, a third one and a category, and is noisy."""
    score = "6 * d * e + 2 * a - 2.5 + CASE WHEN few < 'k2' THEN 1 ELSE 0 END"
    rows = TABLE.format(n=n)
    query = f"SELECT *, CASE WHEN random() < 1 / (1 + exp(-({score}))) THEN 'yes' ELSE 'no' END AS y FROM ({rows})"
    with duckdb.connect(config={"threads": 1}) as connection:  # so that every run gets the same rows
        connection.execute("SELECT setseed(0.5)")
        connection.execute(f"COPY ({query}) TO '{path}'")


if __name__ == "__main__":
    main()
