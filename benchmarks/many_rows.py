"""Peak memory and time of the stages on a table of ten million rows: `python -m benchmarks.many_rows FOLDER`.

FOLDER, which must not exist, gets a copy of the project and a generated Parquet file (12 columns, some 700 MB). Every
stage runs as a process of its own, whose peak resident memory the system tells. Networks train one epoch, so that the
ratio of two times is that of the rows and not of when they stop.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb

N_ROWS = 10_000_000
SIZES = (10_240, 1_572_864, 3_145_728)
SMALL = ("logistic_regression", "gradient_boosting", "small_nn", "large_nn")  # trained at the smallest size
LINEAR = ("logistic_regression", "small_nn")  # trained at all sizes
TABLE = """
    SELECT random() AS a, random() * 100 AS b, ln(random() + 1e-9) AS c, random() AS d, random() AS e, random() AS f,
        random() AS g, random() AS h, CAST(random() * 50 AS INT) || 'k' AS few, CAST(random() * 5000 AS INT) || 'z' AS
        many, CASE WHEN random() < 0.3 THEN NULL ELSE random() END AS gaps,
        DATE '2020-01-01' + CAST(random() * 1000 AS INT) AS day
    FROM range({n})"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_rows", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True)
    copy_project(folder)
    generate(folder / "rows.parquet")

    sizes = ",".join(map(str, SIZES))
    overrides = ["dataset=table", "dataset.path=rows.parquet", "dataset.target=y", f"scale.sizes=[{sizes}]"]
    measured(folder, "compose", "stages.compose", "--reset", "scale=full", "scale.epochs=1", *overrides)
    measured(folder, "prepare", "stages.prepare")
    measured(folder, "subsample", "stages.subsample")
    for learner in SMALL:
        measured(folder, f"train {learner}-{SIZES[0]}", "stages.train", learner, str(SIZES[0]))
    for learner in LINEAR:
        seconds = []
        for n in SIZES[1:]:
            measured(folder, f"train {learner}-{n}", "stages.train", learner, str(n))
            timing = json.loads((folder / f"data/timings/{learner}/{n}.json").read_text())
            seconds.append(timing["fit_seconds"])
        ratio = seconds[1] / seconds[0]
        print(f"{learner}: {SIZES[2] / SIZES[1]:.0f} times the rows took {ratio:.2f} times as long", flush=True)


def copy_project(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
    copied = subprocess.run(["tar", "cf", "-", "--null", "-T", "-"], input=listed, check=True, capture_output=True)
    subprocess.run(["tar", "xf", "-", "-C", str(folder)], input=copied.stdout, check=True)


def generate(path: Path) -> None:
    """The class depends on a product of two columns, a third one and a category, and is noisy."""
    score = "6 * d * e + 2 * a - 2.5 + CASE WHEN few < '2' THEN 1 ELSE 0 END"
    rows = TABLE.format(n=N_ROWS)
    query = f"SELECT *, CASE WHEN random() < 1 / (1 + exp(-({score}))) THEN 'yes' ELSE 'no' END AS y FROM ({rows})"
    with duckdb.connect(config={"threads": 1}) as connection:  # so that every run gets the same rows
        connection.execute("SELECT setseed(0.5)")
        connection.execute(f"COPY ({query}) TO '{path}'")


def measured(folder: Path, what: str, *command: str) -> None:
    """Prints the peak resident memory of one process."""
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{what} failed")
    print(f"{what}: peak {usage.ru_maxrss * 1024 / 1e9:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
