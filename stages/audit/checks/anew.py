"""All but the training made anew from its inputs, and compared with what is here, byte by byte."""

import csv
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from stages.audit import machine, scratch
from stages.audit.checks.data import CARD
from stages.audit.recorded import Recorded
from stages.audit.say import MAKE, all_or, fails, passes, short, unchecked
from stages.audit.tolerance import ROUNDING
from stages.common.errors import InputError
from stages.common.records import load_records
from stages.contract.audit import Check
from stages.contract.dataset import Dataset

DRAWING = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
DIGEST = re.compile(r"\b[0-9a-f]{12,}\b")
PLAIN = re.compile(r"-?\d+\.?\d*(?:[eE][-+]?\d+)?|-?\.\d+")
NUMBER = re.compile(rf"-?\d{{1,3}}(?:,\d{{3}})+(?![\d,])(?:\.\d+)?|{PLAIN.pattern}")  # of a report, with thousands
POINT, LAST, TINY = 0.05, 1.1e-4, 1e-6  # of a drawing; the last digit that a report tells; of numbers near 0
FOR_RESULTS = ("data/predictions", "data/prepared", "data/tuning", "data/timings")


def check(of: Recorded) -> Iterator[Check]:
    with ThreadPoolExecutor(2) as at_once:
        parts = [at_once.submit(list, make(of)) for make in (data, results)]
        for part in sorted(parts, key=lambda part: part.exception() is not None):  # errors last: what was found counts
            yield from part.result()


def data(of: Recorded) -> Iterator[Check]:
    name, expected = "data made anew", "`prepare` and `subsample` give the same bytes from the raw data"
    path = str(of.params["dataset"]["path"])
    with scratch.folder([]) as at:
        if told := scratch.stage(at, "stages.prepare"):
            if of.params["dataset"]["name"] == "openml" and "sha256" not in told:
                yield unchecked(name, path, expected, told, "audit with the network, or with the file fetched before")
            else:
                yield fails(name, raw_of(told, path), expected, told, "bring back the data that were studied")
            return
        yield from raw(at, path)
        if told := scratch.stage(at, "stages.subsample"):
            yield fails(name, "data/subsets", expected, told, MAKE)
            return
        places = ["data/prepared", "data/subsets"]
        yield from all_or(compared(at, places, name), name, "data", expected, f"{n_files(places)} files, all the same")


def raw(at: Path, path: str) -> Iterator[Check]:
    """Of data that packages or servers hold, which `prepare` hashed as it read them anew; a file of the user's is
    hashed by `checks.data`."""
    try:
        anew, found = (load_records(root / CARD, Dataset).sha256 for root in (at, Path()))
    except (InputError, ValueError):  # a card that is gone or broken, of which the comparison tells
        return
    if Path(path).name in found:
        return
    name, expected = "raw data", "SHA-256 as in dataset.json, hashed as they were read anew"
    told = ", ".join(f"{short(of)} {file}" for file, of in anew.items())
    if anew == found:
        yield passes(name, str(CARD), expected, told)
    else:
        yield fails(name, str(CARD), expected, f"{told} were read", "bring back the data that were studied")


def results(of: Recorded) -> Iterator[Check]:
    name, expected = "results made anew", "`evaluate` and `plot` give the same bytes from the predictions"
    with scratch.folder(FOR_RESULTS) as at:
        for stage in ("evaluate", "plot"):
            if told := scratch.stage(at, f"stages.{stage}"):
                yield fails(
                    name, f"results/{'curves.csv' if stage == 'evaluate' else 'report.html'}", expected, told, MAKE
                )
                return
        places = sorted(out for stage in of.stages if stage.name in ("evaluate", "plot") for out in stage.outs)
        yield from all_or(compared(at, places, name), name, "results", expected,
                          f"{n_files(places)} files, all the same")  # fmt: skip
        yield from traced(at)


def raw_of(told: str, path: str) -> str:
    """The raw file that an error names, where it names one."""
    named = re.search(r"(\w+)'s (\S+) has sha256", told)
    return f"{named[1]}/{named[2]}" if named else path


def n_files(places: list[str]) -> int:
    return sum(
        len([p for p in Path(place).rglob("*") if p.is_file()]) if Path(place).is_dir() else 1 for place in places
    )


def compared(at: Path, places: list[str], name: str) -> Iterator[Check]:
    """A failure for every file that is another than the one made anew. On another class of machine than the study's,
    numbers of texts and drawings may differ in their last digits."""
    is_same_class = machine.is_of_study()
    for place in places:
        root = at / place
        if root.exists() and not Path(place).exists():
            yield fails(name, place, "there", "it is not", f"`dvc checkout --force {place}`, or {MAKE}")
            continue
        made = {path.relative_to(at) for path in root.rglob("*") if path.is_file()} if root.is_dir() else {Path(place)}
        here = {p for p in Path(place).rglob("*") if p.is_file()} if Path(place).is_dir() else {Path(place)}
        for path in sorted(made | here):
            if not (at / path).is_file() or not path.is_file():
                yield fails(name, str(path), "made by its stage" if path.is_file() else "there", "it is not", MAKE)
                continue
            anew, found = (at / path).read_bytes(), path.read_bytes()
            if anew != found and (is_same_class or not is_close(anew, found, path)):
                yield fails(name, str(path), *difference(anew, found), f"`dvc checkout --force {path}`, or {MAKE}")


def is_close(anew: bytes, found: bytes, path: Path) -> bool:
    """But for the last digits of numbers, or, of a picture, but for a few points."""
    if path.suffix == ".png":
        return is_like(anew, found)
    if path.suffix == ".npy":
        return False
    first, second = anew.decode(), found.decode()
    if path.suffix == ".svg":
        return are_near(first, second, POINT, PLAIN)
    if path.suffix == ".csv":  # field by field: commas part them
        rows = [list(csv.reader(io.StringIO(text))) for text in (first, second)]
        return list(map(len, rows[0])) == list(map(len, rows[1])) and all(
            are_near(a, b, TINY, PLAIN) for pair in zip(*rows, strict=True) for a, b in zip(*pair, strict=True)
        )
    if path.suffix == ".html":
        drawings = ["".join(DRAWING.findall(text)) for text in (first, second)]
        is_said_alike = are_near(readable(anew), readable(found), LAST)
        return is_said_alike and are_near(drawings[0], drawings[1], POINT, PLAIN)
    is_for_people = path.stem in ("report", "answer")
    return are_near(first, second, LAST if is_for_people else TINY, NUMBER if is_for_people else PLAIN)


def are_near(first: str, second: str, floor: float, number: re.Pattern[str] = NUMBER) -> bool:
    """Two texts that differ in their numbers alone, and by no more than this, or than rounding makes of large ones."""
    if len({number.sub("#", text) for text in (first, second)}) > 1 or DIGEST.findall(first) != DIGEST.findall(second):
        return False
    pairs = zip(number.findall(first), number.findall(second), strict=True)
    values = [tuple(float(part.replace(",", "")) for part in pair) for pair in pairs]
    return all(abs(a - b) <= max(floor, ROUNDING * abs(a)) for a, b in values)


def is_like(anew: bytes, found: bytes) -> bool:
    """Two pictures of one size, of which hardly a point is clearly another."""
    first, second = (imread(io.BytesIO(content)) for content in (anew, found))
    return first.shape == second.shape and bool((np.abs(first - second) > 0.25).mean() <= ROUNDING)


def difference(anew: bytes, found: bytes) -> tuple[str, str]:
    """Where two files part: what should stand there, and what does."""
    try:
        texts = anew.decode(), found.decode()
    except UnicodeDecodeError:
        return f"{len(anew)} bytes as made anew", f"{len(found)} other bytes"
    place = next((i for i, pair in enumerate(zip(*texts, strict=False)) if len(set(pair)) > 1), min(map(len, texts)))
    line = texts[0].count("\n", 0, place) + 1
    start = max(place - 30, 0)
    parts = [" ".join(text[start : place + 30].split()) for text in texts]
    return f"line {line}: {parts[0]!r}", repr(parts[1])


def readable(content: bytes) -> str:
    """What a page says, its drawings apart."""
    text = re.sub(r"<(svg|style|script)\b.*?</\1>", " ", content.decode(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def traced(at: Path) -> Iterator[Check]:
    """Every number that the report says, against the one that follows from the cells' predictions."""
    name, path = "numbers of the report", Path("results/report.html")
    if not path.is_file():
        return
    anew, found = (readable(content.read_bytes()) for content in (at / path, path))
    numbers, words = NUMBER.findall(found), NUMBER.split(found)
    expected = f"{len(NUMBER.findall(anew))} numbers, each as the cells' predictions give it"

    def wrong() -> Iterator[Check]:
        for i, (should, does) in enumerate(zip(NUMBER.findall(anew), numbers, strict=False)):
            if should != does:
                around = " ".join(" ".join(words[max(i - 3, 0) : i + 1]).split())[-60:]
                yield fails(name, str(path), f"{should} after {around!r}", does, MAKE)
                return

    is_near = not machine.is_of_study() and are_near(anew, found, LAST)
    yield from all_or([] if is_near else wrong(), name, str(path), expected, f"{len(numbers)} numbers, all the same")
