"""What is different between two commits' studies, and is it more than noise? `python -m stages.compare REV [REV]`.

Which params, code, data and packages changed; which curves moved beyond their bands; which verdicts and advice turned.
Without a second commit, the study as it lies here.
"""

import argparse
import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml

from stages.audit.say import printable
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.params import LOADER, PARAMS
from stages.compose.record import differences, value_of
from stages.compose.surroundings import git, text_at
from stages.run import lock

MOST = 12  # of one kind that are told


@dataclass(frozen=True)
class Side:
    """What a commit, or the folder here, holds of a study. read: the text of a path, None where there is none; lock: by
    stage, what dvc.lock says of it."""

    name: str
    read: Callable[[str], str | None]
    lock: Mapping[str, Any]

    def json(self, path: str) -> Any:
        return json.loads(self.read(path) or "null")

    def yaml(self, path: str) -> Any:
        return yaml.load(self.read(path) or "{}", LOADER) or {}

    def rows(self, path: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.read(path) or "")))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.compare", description=__doc__)
    parser.add_argument("before", metavar="REV", help="a commit, branch or tag")
    parser.add_argument("after", metavar="REV", nargs="?", help="another; default: what lies here")
    arguments = parser.parse_args()
    before = side(arguments.before)
    after = side(arguments.after) if arguments.after else Side("here", lock.here, lock.whole())
    for path in ("results/metrics.json", "results/curves.csv"):
        if after.read(path) is None:
            raise InputError(f"{after.name}: {path} is missing; run `make repro` first")
    print(f"{before.name} -> {after.name}")
    for part, lines in compared(before, after).items():
        print(f"\n{part}")
        for line in lines[:MOST] or ["the same"]:
            print(f"  {printable(line)}")
        if len(lines) > MOST:
            print(f"  and {len(lines) - MOST} more")


def compared(before: Side, after: Side) -> dict[str, list[str]]:
    return {
        "params": list(params(before, after)),
        "code": list(code(before, after)),
        "data": list(data(before, after)),
        "environment": list(environment(before, after)),
        "cells": list(cells(before, after)),
        "curves (beyond noise: further apart than the half bands, added as squares)": list(curves(before, after)),
        "verdicts and advice": list(verdicts(before, after)),
    }  # fmt: skip


def side(revision: str) -> Side:
    """Raises InputError where there is no such commit, no study in it, or one whose dvc.lock was cut."""
    found = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if found is None:
        raise InputError(f"{revision!r} is no commit here; `git log` lists them")
    commit = found
    name = revision if revision == commit[: len(revision)] else f"{revision} ({commit[:12]})"
    read = partial(text_at, commit)
    if read("results/curves.csv") is None:
        raise InputError(f"{revision}: the commit holds no results/curves.csv; commit the results of a run")
    remedy = f"compare with another commit, or `git checkout {revision}`, `make repro`, and commit {lock.LOCK}"
    return Side(name, read, lock.whole(read, name, remedy))


def params(before: Side, after: Side) -> Iterator[str]:
    first, second = before.yaml(str(PARAMS)), after.yaml(str(PARAMS))
    for key in differences(first, second):
        if key != "compose.sha256":
            yield f"{key}: {value_of(first, key)!r} -> {value_of(second, key)!r}"


def dependencies(of: Side) -> dict[str, str]:
    return {dep["path"]: dep.get("md5", "") for stage in of.lock.values() for dep in stage.get("deps", [])}


def code(before: Side, after: Side) -> Iterator[str]:
    first, second = dependencies(before), dependencies(after)
    paths = [path for path in first | second if path.startswith(("stages/", "conf"))]
    yield from (f"{path} changed" for path in sorted(paths) if first.get(path) != second.get(path))


def data(before: Side, after: Side) -> Iterator[str]:
    first, second = dependencies(before), dependencies(after)
    paths = sorted(path for path in first | second if path.startswith(("data/prepared", "data/subsets")))
    own = {value_of(of.yaml(str(PARAMS)), "dataset.path") for of in (before, after)}
    for path in [*sorted(own & (first | second).keys()), *paths]:
        if path in first and path in second and first[path] != second[path]:
            yield f"{path} changed"


def environment(before: Side, after: Side) -> Iterator[str]:
    def told(of: Side) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for cell in of.json("results/cells.json") or []:
            of_cell = {
                "threads": str(cell["threads"]),
                "accelerator": cell["accelerator"],
                "precision": cell["precision"],
            }
            for key, value in (cell["versions"] | of_cell).items():
                found.setdefault(key, set()).add(value)
        for cell in (of.json("results/costs.json") or {}).get("cells", []):
            found.setdefault("processor", set()).add(cell["processor"])
        return found

    first, second = told(before), told(after)
    for key in first | second:
        if first.get(key) != second.get(key):
            was, now = (", ".join(sorted(of.get(key, {"none"}))) for of in (first, second))
            yield f"{key}: {was} -> {now}"


def cells(before: Side, after: Side) -> Iterator[str]:
    def listed(of: Side) -> dict[tuple[str, str], Any]:
        hashes = of.json("results/hashes.json") or {}
        return {(learner, n): files for learner, of_learner in hashes.items() for n, files in of_learner.items()}

    first, second = listed(before), listed(after)
    shared = [cell for cell in first if cell in second]
    other = [cell for cell in shared if first[cell] != second[cell]]
    if other:
        yield f"{len(other)} of {len(shared)} that both have hold other predictions, such as {'-'.join(other[0])}"
    for what, found in (("gone", first.keys() - second.keys()), ("new", second.keys() - first.keys())):
        if found:
            yield f"{len(found)} {what}: {', '.join('-'.join(cell) for cell in sorted(found)[:6])}"


def curves(before: Side, after: Side) -> Iterator[str]:
    metrics = {(of.json("results/metrics.json") or {}).get("metric", "none told") for of in (before, after)}
    if len(metrics) > 1:
        yield f"judged by another metric: {' and '.join(sorted(metrics))}"
        return
    first, second = (points(of, next(iter(metrics))) for of in (before, after))
    moved = {cell: second[cell][0] - first[cell][0] for cell in first if cell in second}
    for what, found in (
        ("no value now", first.keys() - second.keys()),
        ("no value before", second.keys() - first.keys()),
    ):
        if found:
            yield f"{what}: {', '.join('-'.join(cell) for cell in sorted(found)[:6])}"
    for cell, by in sorted(moved.items(), key=lambda item: -abs(item[1])):
        noise = (first[cell][1] ** 2 + second[cell][1] ** 2) ** 0.5
        if by and math.isnan(noise):
            yield f"{cell[0]}-{cell[1]}: {by:+.4f}, of a value without a band"
        elif by:
            beyond = "beyond noise" if abs(by) > noise else "within noise"
            yield f"{cell[0]}-{cell[1]}: {by:+.4f}, {beyond} (+-{noise:.4f})"


def points(of: Side, metric: str) -> Mapping[tuple[str, str], tuple[float, float]]:
    """Mean and half the band of each cell, NaN where it has none."""
    rows = [row for row in of.rows("results/curves.csv") if row["metric"] == metric and row["mean"]]
    return {
        (row["learner"], row["n_train"]): (
            float(row["mean"]), (float(row["high"]) - float(row["low"])) / 2 if row["low"] else math.nan
        )
        for row in rows
    }  # fmt: skip


def verdicts(before: Side, after: Side) -> Iterator[str]:
    first, second = (
        {of["id"]: of["verdict"] for of in side.json("results/claims.json") or []} for side in (before, after)
    )
    for claim in first | second:
        if first.get(claim) != second.get(claim):
            yield f"{claim}: {first.get(claim, 'none')} -> {second.get(claim, 'none')}"
    answers = [(of.json("results/advice.json") or {}).get("answer", "none") for of in (before, after)]
    if answers[0] != answers[1]:
        yield f"advice: {answers[0]} -> {answers[1]}"


if __name__ == "__main__":
    run(main)
