"""Our learners on tables that they were not tuned on, beside published curves: LCDB 1.1 (Yan, Mohr, Viering 2025).

    python -m benchmarks.outside_tables --data DIR --out report.json

DIR holds published.csv (table, learner, n_train, error, standard_error) and a CSV for each of its tables. Each table is
studied as a user would, with the default learners and the sizes of published.csv that its pool holds, one thread a
cell. The error of n labels, which pay for everything, is divided by the published one.
"""

import argparse
import csv
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TARGETS = {"letter": "lettr", "satimage": "classes", "spam": "type", "dna": "Class", "vehicle": "Class"}
PAIRS = {  # key of the report: ours, and the published learner that it is divided by
    "large_vs_realmlp": ("large_nn", "RealMLP"),
    "boosting_vs_catboost": ("gradient_boosting", "CatBoost"),
    "logistic_vs_logistic": ("logistic_regression", "LogisticRegression"),
}
SMALLEST = 256  # labels from which ratios enter the means

Curve = Mapping[int, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with published.csv and the tables")
    parser.add_argument("--out", type=Path, help="where to write the report, as JSON")
    parser.add_argument("--tables", nargs="*", help="some of the tables alone")
    parser.add_argument("--smallest", type=int, default=0, help="leave out sizes below this")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once")
    parser.add_argument("--target", action="append", default=[], metavar="TABLE=COLUMN", help="of a table of your own")
    parser.add_argument("--set", action="append", default=[], metavar="OVERRIDE", help="override for stages.compose")
    arguments = parser.parse_args()
    targets = TARGETS | dict(pair.split("=", 1) for pair in arguments.target)
    published = load_published(arguments.data / "published.csv")
    tables = arguments.tables or list(published)
    rows: list[dict[str, Any]] = []
    verdicts: dict[str, Any] = {}
    for table in tables:
        sizes = sorted({n for curve in published[table].values() for n in curve if n >= arguments.smallest})
        with tempfile.TemporaryDirectory() as folder:
            study = Study(Path(folder), arguments.jobs)
            study.run(arguments.data / f"{table}.csv", targets[table], sizes, arguments.set)
            rows += study.rows(table, published[table])
            verdicts[table] = study.orderings()
        for row in rows:
            if row["table"] == table:
                print(line_of(row), flush=True)
    report = means(rows) | {"orderings": verdicts, "rows": rows}
    print(json.dumps({key: value for key, value in report.items() if key != "rows"}, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def load_published(path: Path) -> dict[str, dict[str, dict[int, float]]]:
    """Error by table, learner and number of labels."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["table"], {}).setdefault(row["learner"], {})[int(row["n_train"])] = float(row["error"])
    return found


class Study:
    """One table's study in a folder of its own, run stage by stage with the project's own commands."""

    def __init__(self, folder: Path, jobs: int):
        self.folder, self.jobs = folder, jobs
        self.cpu_seconds: dict[str, float] = {}

    def run(self, path: Path, target: str, sizes: Sequence[int], overrides: Sequence[str]) -> None:
        for name in ("stages", "conf"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(path, self.folder)
        table = ["dataset=table", f"dataset.path={path.name}", f"dataset.target={target}", "dataset.metric=error"]
        self.stage("compose", *table, "train.threads=1", *overrides)
        self.stage("prepare")
        n_pool = json.loads((self.folder / "data/prepared/dataset.json").read_text())["rows"]["pool"]
        within = ",".join(str(n) for n in sizes if n <= n_pool)
        self.stage("compose", f"scale.sizes=[{within}]")
        self.stage("subsample")
        grid = yaml.safe_load((self.folder / "params.yaml").read_text())["grid"]
        cells = [("train", learner, str(n)) for n in reversed(grid["sizes"]) for learner in reversed(grid["learners"])]
        tunes = [("train", "--tune", learner) for learner in reversed(grid["learners"])]
        for commands in (tunes, cells):
            with ThreadPoolExecutor(self.jobs) as pool:
                list(pool.map(lambda command: self.stage(*command), commands))
        self.stage("evaluate")

    def stage(self, name: str, *arguments: str) -> None:
        """Runs `python -m stages.<name>`, raises where it fails, and keeps its CPU seconds under its arguments."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        log = self.folder / f"{'-'.join([name, *arguments])[:80].replace('/', '_')}.log"
        with log.open("w") as output:
            command = [sys.executable, "-m", f"stages.{name}", *arguments]
            child = subprocess.Popen(command, cwd=self.folder, env=os.environ | threads, stdout=output, stderr=output)
            _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"error: {' '.join(command)} failed:\n{log.read_text()}")
        self.cpu_seconds["-".join(arguments)] = usage.ru_utime + usage.ru_stime

    def rows(self, table: str, published: Mapping[str, Curve]) -> list[dict[str, Any]]:
        names = dict(PAIRS.values())
        found = []
        with (self.folder / "results/curves.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["metric"] != "error":
                    continue
                learner, n_train, error = row["learner"], int(row["n_train"]), float(row["mean"] or "nan")
                theirs = published.get(names.get(learner, ""), {}).get(n_train)
                found.append({
                    "table": table, "learner": learner, "n_train": n_train, "error": error,
                    "low": float(row["low"] or "nan"), "high": float(row["high"] or "nan"),
                    "published": theirs, "ratio": error / theirs if theirs else None,
                    "cpu_seconds": round(self.cpu_seconds[f"{learner}-{n_train}"], 1),
                    "tuning_cpu_seconds": round(self.cpu_seconds[f"--tune-{learner}"], 1),
                })  # fmt: skip
        return found

    def orderings(self) -> Any:
        """What the study says of its networks at the largest size: effect (better is positive) and 95 % interval."""
        claims = json.loads((self.folder / "results/claims.json").read_text())
        return {
            claim["id"]: claim["evidence"] for claim in claims if claim["id"] in ("small_network", "bigger_network")
        }


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Geometric means over the ratios of each pair, over all of them and by table, and the table that is worst."""
    report: dict[str, Any] = {}
    for key, (ours, _) in PAIRS.items():
        by_table: dict[str, list[float]] = {}
        for row in rows:
            if row["learner"] == ours and row["ratio"] and math.isfinite(row["ratio"]) and row["n_train"] >= SMALLEST:
                by_table.setdefault(row["table"], []).append(row["ratio"])
        report[key] = geometric([ratio for ratios in by_table.values() for ratio in ratios])
        report[f"{key}_by_table"] = {table: geometric(ratios) for table, ratios in by_table.items()}
    of_large = report["large_vs_realmlp_by_table"]
    worst = max(of_large, key=of_large.get) if of_large else None
    report["worst_table"] = {"table": worst, "large_vs_realmlp": of_large.get(worst)}
    report["cpu_seconds"] = round(sum(row["cpu_seconds"] for row in rows), 1)
    return report


def geometric(ratios: Sequence[float]) -> float | None:
    return round(math.exp(sum(map(math.log, ratios)) / len(ratios)), 3) if ratios else None


def line_of(row: Mapping[str, Any]) -> str:
    beside = f"published {row['published']:.4f}, ratio {row['ratio']:.2f}" if row["ratio"] else ""
    cost = f"{row['cpu_seconds']:.1f} s"
    return f"{row['table']:10} {row['learner']:20} {row['n_train']:6} error {row['error']:.4f} {beside:32} {cost}"


if __name__ == "__main__":
    main()
