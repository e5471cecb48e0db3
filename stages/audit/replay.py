"""Cells trained anew, cold, with their tuning, and compared with what is recorded."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stages.audit import machine, scratch
from stages.audit.recorded import Recorded, digest
from stages.audit.say import fails, passes, unchecked
from stages.audit.tolerance import allowed
from stages.common import artefacts, params
from stages.common.errors import InputError, nearest
from stages.common.records import load_records
from stages.contract.audit import Check
from stages.contract.cell import Cell
from stages.evaluate.metrics import METRICS
from stages.evaluate.params import OfPicture

INPUTS = ("data/prepared", "data/subsets")
OF_MACHINE = {"accelerator", "name", "precision", "threads", "versions"}  # in cell.json, of what made the cell
WITH_ROUNDING = OF_MACHINE | {  # what the same code and data may write otherwise on another class of machine
    "tuning_losses", "training_loss", "validation_loss", "epochs", "train_flops",
}  # fmt: skip
WITH_RANDOM = WITH_ROUNDING | {"settings", "status", "statuses", "reason"}  # and where other random numbers are drawn
Name = tuple[str, int]


def chosen(asked: str, of: Recorded) -> list[Name]:
    """Cells that `K`, drawn by lot, or `learner-n,learner-n` stand for."""
    cells = [(learner, n) for learner in of.params["grid"]["learners"] for n in of.params["grid"]["sizes"]]
    by_name = {f"{learner}-{n}": (learner, n) for learner, n in cells}
    if asked.isdigit():
        if int(asked) < 1:
            raise InputError(f"--replay={asked}: at least one cell")
        return random.SystemRandom().sample(cells, min(int(asked), len(cells)))
    names = asked.split(",")
    if unknown := [name for name in names if name not in by_name]:
        raise InputError(f"--replay={asked}: {unknown[0]} is no cell of the grid{nearest(unknown[0], list(by_name))}")
    return [by_name[name] for name in names]


def check(cells: Sequence[Name]) -> Iterator[Check]:
    """Every cell's tuning and fits once more, from the prepared data and the subsets that are here."""
    with scratch.folder(INPUTS) as at:
        tuned: set[str] = set()
        for learner, n in sorted(cells):
            info = load_records(artefacts.cell_path(learner, n) / "cell.json", Cell)
            on_cpu = info.accelerator == "cpu"
            if learner not in tuned:
                tuned.add(learner)
                if told := scratch.stage(at, "stages.train", "--tune", learner, on_cpu=on_cpu):
                    yield _failed(f"{learner}'s tuning", artefacts.TUNING / learner, told)
                    continue
                yield _tuning(at, learner, info)
            if told := scratch.stage(at, "stages.train", learner, str(n), on_cpu=on_cpu):
                yield _failed(f"{learner}-{n}", artefacts.cell_path(learner, n), told)
                continue
            yield _cell(at, learner, n)


def _failed(what: str, path: Path, told: str) -> Check:
    return fails(f"replay of {what}", str(path), "trains as it did", told, "see what it says")


def is_comparable(*accelerators: str) -> bool:
    """Whether results on these can be near each other: each kind of GPU draws other random numbers, and multiplies in
    an order and a precision of its own."""
    return set(accelerators) <= {"cpu"}


def _not_compared(name: str, folder: Path, what: str) -> Check:
    return unchecked(name, str(folder), what, "networks of a GPU, of which another machine makes others",
                     "replay on a machine of the class that made them")  # fmt: skip


def _tuning(at: Path, learner: str, of_cell: Cell) -> Check:
    """Its choices; the predictions of the settings that competed are held to bits where cells are."""
    folder = artefacts.TUNING / learner
    paths = sorted(path for path in folder.glob("*") if machine.is_of_study() or path.suffix == ".json")
    odd = [path for path in paths if not _is_same(at, path)]
    name, expected = f"replay of {learner}'s tuning", "the same choices"
    if not odd:
        return passes(name, str(folder), expected, f"{len(paths)} files, equal bits")
    if not machine.is_of_study() and all(_choices(at / path) == _choices(path) for path in odd):
        return passes(name, str(folder), expected, "the same, of losses that differ within rounding")
    if not machine.is_of_study() and not is_comparable(of_cell.accelerator):
        return _not_compared(name, folder, expected)
    return fails(name, str(odd[0]), expected, "another", "train it anew with `make repro`, or ask who changed it")


def _choices(path: Path) -> object:
    return artefacts.load_json(path).get("choices")


def _is_same(at: Path, path: Path) -> bool:
    return (at / path).is_file() and digest(at / path, "sha256") == digest(path, "sha256")


def _cell(at: Path, learner: str, n: int) -> Check:
    folder = artefacts.cell_path(learner, n)
    name = f"replay of {learner}-{n}"
    if all(_is_same(at, folder / file) for file in ("predictions.npz", "cell.json")):
        return passes(name, str(folder), "equal bits", "equal bits")
    anew, found = (load_records(root / "cell.json", Cell) for root in (at / folder, folder))
    if "timeout" in (anew.status, found.status) and anew.status != found.status:
        late = "the recorded" if found.status == "timeout" else "this"
        return unchecked(name, str(folder), "the same cell", f"{late} one ran into train.timeout_seconds",
                         "replay on a machine with nothing else to do")  # fmt: skip
    if not machine.is_of_study():
        can_be_near = is_comparable(anew.accelerator, found.accelerator)
        but = WITH_ROUNDING if can_be_near else WITH_RANDOM
        first, second = (of.model_dump(exclude=but) for of in (anew, found))
        if odd := [key for key in first if first[key] != second[key]]:
            return fails(name, str(folder / "cell.json"), f"{odd[0]}: {first[odd[0]]}", f"{second[odd[0]]}",
                         "what is recorded is not what this code makes: ask who changed it")  # fmt: skip
        is_told_alike = anew.model_dump(exclude=OF_MACHINE) == found.model_dump(exclude=OF_MACHINE)
        if is_told_alike and _is_same(at, folder / "predictions.npz"):
            return passes(name, str(folder), "equal bits, or within tolerance", "predictions of equal bits")
        if not can_be_near:
            return _not_compared(name, folder, "equal bits")
    apart, metric, limit = furthest(at / folder, folder, "" if machine.is_of_study() else found.kind)
    file = next(
        (file for file in ("predictions.npz", "cell.json") if not _is_same(at, folder / file)), "predictions.npz"
    )
    what = (
        "equal bits: the machine and the packages are the study's"
        if machine.is_of_study()
        else f"{metric} within {limit:g}"
    )
    if apart <= limit and not machine.is_of_study():
        return passes(name, str(folder), what, f"within tolerance: {metric} {apart:.2g} apart")
    return fails(name, str(folder / file), what, f"different: {metric} up to {apart:.4g} apart",
                 "recorded predictions are not what this code makes: ask who changed them")  # fmt: skip


def furthest(anew: Path, found: Path, kind: str) -> tuple[float, str, float]:
    """The largest difference that one replicate shows in the metric of the picture, or in the one that is furthest
    beyond what is allowed of this kind of learner; that metric, and what is allowed in it. Infinite where shapes
    differ."""
    metric = params.load(OfPicture, "dataset").metric
    labels = np.array(artefacts.load_array(artefacts.PREPARED / "test_labels.npy"))
    first, second = (artefacts.load_predictions(folder) for folder in (anew, found))
    if first.shape != second.shape or (np.isfinite(first) != np.isfinite(second)).any():
        return np.inf, metric, 0.0
    usable = np.isfinite(first).all(axis=(1, 2))
    apart = {metric: 0.0}
    for name in METRICS if usable.any() else ():
        values = [METRICS[name].measure(labels, of[usable])[0] for of in (first, second)]
        apart[name] = float(np.abs(values[0] - values[1]).max())
    beyond = {name: by - allowed(kind, name) for name, by in apart.items() if by > allowed(kind, name)}
    worst = metric if metric in beyond or not beyond else max(beyond, key=lambda name: beyond[name])
    return apart[worst], worst, allowed(kind, worst)
