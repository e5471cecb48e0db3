"""The audit passes what was not touched, and names what was, first."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.audit import machine
from stages.audit.causes import ordered
from stages.audit.checks.anew import is_close, raw
from stages.audit.checks.cells import hardware
from stages.audit.checks.data import CARD
from stages.audit.recorded import Stage
from stages.audit.say import fails, passes, printable
from stages.common import artefacts, provenance
from stages.common.records import save_records
from stages.contract.audit import Audit, Check
from stages.replay import Replayed, compared, status_of
from tests import records
from tests.clones import ROOT, Clone

pytestmark = pytest.mark.pipeline
PREDICTIONS = "data/predictions/small_nn/128/predictions.npz"
ON_GPU = {"accelerator": "cuda", "name": "a GPU"}  # in cell.json


def audited(clone: Clone, *arguments: str, status: int = 0) -> Audit:
    done = subprocess.run(
        [sys.executable, "-m", "stages.audit", "--json", *arguments],
        cwd=clone.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    content = json.loads(done.stdout)
    assert {"name", "status", "expected", "observed", "remedy"} <= content["checks"][0].keys()
    return Audit.model_validate(content)


def flip(path: Path, place: int = -1) -> None:
    """One byte changed, the size kept, and the time of change as well."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def blob(clone: Clone, md5: str) -> Path:
    return clone.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def tamper_number(clone: Clone) -> str:
    path = clone.path / "results/report.html"
    text = path.read_text(encoding="utf-8")
    shown = next(row["mean"] for row in rows(clone) if row["learner"] == "small_nn" and row["metric"] == "error")
    number = f"{100 * float(shown):.2f}"[:3]
    assert number in text
    path.write_text(text.replace(number, number[:-1] + ("1" if number[-1] != "1" else "2"), 1), encoding="utf-8")
    return "results/report.html"


def rows(clone: Clone) -> list[dict[str, str]]:
    with (clone.path / "results/curves.csv").open() as file:
        return list(csv.DictReader(file))


def tamper_metric(clone: Clone) -> str:
    path = clone.path / "results/curves.csv"
    first = next(row["mean"] for row in rows(clone))
    path.write_text(path.read_text().replace(first, first[:-1] + ("1" if first[-1] != "1" else "2"), 1))
    return "results/curves.csv"


def tamper_file(name: str, place: int = -1) -> Callable[[Clone], str]:
    def tamper(clone: Clone) -> str:
        flip(clone.path / name, place)
        return name

    return tamper


def tamper_params(clone: Clone) -> str:
    clone.edit("params.yaml", "n_settings: ", "n_settings: 1")
    return "params.yaml: scale.n_settings"


def tamper_rule(clone: Clone) -> str:
    clone.edit("conf/config.yaml", "settled_tau: 0.8", "settled_tau: 0.5")
    clone.compose()
    return "conf/config.yaml"


def tamper_recorded_rule(clone: Clone) -> str:
    clone.compose("evaluate.claims.alpha=0.2")
    return "params.yaml: evaluate.claims.alpha"


def tamper_code(clone: Clone) -> str:
    path = clone.path / "stages/evaluate/metrics.py"
    path.write_text(path.read_text() + "\n# as if nothing had happened\n")
    return "stages/evaluate/metrics.py"


def tamper_blob(clone: Clone) -> str:
    path = blob(clone, md5_of(clone.path / PREDICTIONS))
    flip(path)
    return str(path.relative_to(clone.path))


def tamper_remote(clone: Clone) -> str:
    remote = clone.path.parent / "remote"
    clone("python", "-m", "stages.share", "remote", str(remote))
    clone.commit("name the remote")
    clone("python", "-m", "stages.share", "push")
    audited(clone)
    md5 = md5_of(clone.path / PREDICTIONS)
    flip(remote / "files/md5" / md5[:2] / md5[2:])
    return f"team: {remote}/files/md5/{md5[:2]}/{md5[2:]}"


def tamper_lock(clone: Clone) -> str:
    text = (clone.path / "dvc.lock").read_text()
    (clone.path / "dvc.lock").write_text(text[: text.index("  plot:")])
    return "dvc.lock"


def tamper_lock_folder(clone: Clone) -> str:
    """What evaluate is told to have read; DVC itself would see it."""
    text = (clone.path / "dvc.lock").read_text()
    before, after = text.split("    - path: data/predictions\n", 1)
    clone.path.joinpath("dvc.lock").write_text(
        before + "    - path: data/predictions\n" + re.sub(r"md5: \w+", f"md5: {'0' * 32}", after, count=1)
    )
    return "dvc.lock"


def tamper_lock_size(clone: Clone) -> str:
    text = (clone.path / "dvc.lock").read_text()
    place = text.index("size: ", text.index("  train@small_nn-64:"))
    place = text.index("size: ", text.index("outs:", place))
    (clone.path / "dvc.lock").write_text(text[:place] + "size: 1" + text[place + len("size: ") :])
    return "dvc.lock"


def tamper_lock_hash(clone: Clone) -> str:
    text = (clone.path / "dvc.lock").read_text()
    (clone.path / "dvc.lock").write_text(text.replace(md5_of(clone.path / "results/answer.txt"), "0" * 32))
    return "dvc.lock"


def tamper_graph(clone: Clone) -> str:
    text = (clone.path / "dvc.yaml").read_text()
    place = text.index("  evaluate:")
    (clone.path / "dvc.yaml").write_text(text[:place] + text[place:].replace("    - data/timings\n", "", 1))
    return "dvc.yaml"


CASES: dict[str, Callable[[Clone], str]] = {
    "subset": tamper_file("data/subsets/64.npy"),
    "test labels": tamper_file("data/prepared/test_labels.npy", -8),
    "prediction": tamper_file(PREDICTIONS, -400),
    "tuning": tamper_file("data/tuning/small_nn/128.json", 3),
    "metric": tamper_metric,
    "hash": tamper_file("results/hashes.json", 80),
    "number of the report": tamper_number,
    "param": tamper_params,
    "rule in conf": tamper_rule,
    "rule by override": tamper_recorded_rule,
    "code": tamper_code,
    "cached blob": tamper_blob,
    "remote object": tamper_remote,
    "lock cut at a stage": tamper_lock,
    "folder in the lock": tamper_lock_folder,
    "size in the lock": tamper_lock_size,
    "hash in the lock": tamper_lock_hash,
    "graph": tamper_graph,
}


def test_an_untouched_study_passes(copy):
    found = audited(copy)
    assert found.verdict == "pass"
    assert [check.status for check in found.checks if check.name == "raw data"] == ["PASS"]
    assert found.commit == copy("git", "rev-parse", "HEAD").strip()
    assert {check.status for check in found.checks} == {"PASS", "WARN"}
    assert {check.name for check in found.checks if check.status == "WARN"} == {
        "results as bound", *(f"rules of {claim['id']}" for claim in json.loads(copy.read("results/claims.json")))
    }  # fmt: skip
    assert audited(copy, "--strict", status=1).verdict == "fail"
    assert copy("git", "status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_what_was_tampered_with_is_named_first(copy, case):
    wrong = CASES[case](copy)
    found = audited(copy, status=1)
    first, *others = found.checks
    assert (first.status, first.artefact) == ("FAIL", wrong)
    assert first.because_of is None
    assert all(check.because_of for check in others if check.status == "FAIL"), [
        c for c in others if c.status == "FAIL"
    ]


@pytest.mark.slow
def test_a_raw_byte_is_named_first(tmp_path):
    clone = Clone.of_work_tree(tmp_path)
    random = np.random.default_rng(0)
    labels = random.integers(2, size=400)
    lines = [f"{x:.4f},{'yes' if y else 'no'}" for x, y in zip(random.normal(size=400) + labels, labels, strict=True)]
    (clone.path / "my.csv").write_text("\n".join(["x,y", *lines]) + "\n")
    clone.compose("--reset", "--table", "my.csv", "--target", "y", "scale=smoke", "learners=[logistic_regression]")
    clone.repro()
    clone.commit("run a table")
    assert audited(clone).verdict == "pass"
    flip(clone.path / "my.csv", 30)
    found = audited(clone, status=1)
    assert found.checks[0].artefact == "my.csv"
    assert not [check for check in found.checks if check.status == "FAIL" and check.because_of not in (None, "my.csv")]


@pytest.mark.slow
def test_coherent_tampering_is_caught_by_a_replay_alone(copy):
    labels = np.load(copy.path / "data/prepared/test_labels.npy")
    folder = copy.path / PREDICTIONS
    probabilities = np.load(folder)["probabilities"]
    probabilities[:, np.arange(len(labels)), labels] += 0.3
    np.savez(folder, probabilities=(probabilities / probabilities.sum(axis=2, keepdims=True)).astype(np.float32))
    copy("dvc", "commit", "--force", "train@small_nn-128")
    assert copy.repro() == ["evaluate", "plot"]
    copy.commit("as if it had been trained so")
    assert audited(copy).verdict == "pass"
    assert audited(copy, "--replay", "logistic_regression-128").verdict == "pass"
    found = audited(copy, "--replay", "small_nn-128", status=1)
    assert (found.checks[0].name, found.checks[0].artefact) == ("replay of small_nn-128", PREDICTIONS)
    replayed = [check for check in found.checks if check.name == "replay of small_nn's tuning"]
    assert [check.status for check in replayed] == ["PASS"]


@pytest.mark.slow
def test_a_cell_of_a_gpu_is_not_compared_elsewhere(copy):
    path = copy.path / "data/predictions/small_nn/128/cell.json"
    cell = json.loads(path.read_text()) | ON_GPU | {"epochs": [1, 1, 1]}
    path.unlink()
    path.write_text(json.dumps(cell))
    found = audited(copy, "--replay", "small_nn-128", status=1)  # it is not what the lock tells
    told = next(check for check in found.checks if check.name == "replay of small_nn-128")
    assert told.is_unchecked
    assert "networks of a GPU" in told.observed


@pytest.mark.slow
def test_a_cell_that_lies_about_fails_nothing(copy):
    """As after a change of branch: the lock is right, and so is all that was made."""
    shutil.copytree(copy.path / "data/predictions/small_nn/64", copy.path / "data/predictions/old_learner/64")
    found = audited(copy)
    told = next(check for check in found.checks if check.name == "code and inputs as run")
    assert told.artefact.startswith("data/predictions/old_learner/64")
    assert "make prune" in told.remedy
    tamper_lock_folder(copy)  # which the stray cell does not explain
    assert audited(copy, status=1).checks[0].artefact == "dvc.lock"
    copy("git", "checkout", "dvc.lock")
    copy("python", "-m", "stages.prune")
    assert not (copy.path / "data/predictions/old_learner").exists()


def test_what_cannot_be_checked_is_no_pass(copy):
    copy("dvc", "remote", "add", "--default", "gone", "ssh://nowhere.invalid/x")
    copy.commit("a remote that nobody reaches")
    found = audited(copy, status=2)
    assert found.verdict == "could not check"
    (copy.path / "dvc.lock").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "stages.audit"], cwd=copy.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "dvc.lock is missing" in done.stderr
    (copy.path / "dvc.lock").write_text("stages: {a")
    found = audited(copy, status=1)
    assert found.checks[0].artefact == "dvc.lock"
    assert "git checkout dvc.lock" in found.checks[0].remedy


@pytest.mark.parametrize(
    ("path", "content", "status", "told"),
    [
        ("params.yaml", "<<<<<<< HEAD\n", 2, "params.yaml"),
        ("dvc.yaml", "stages: {a", 2, "dvc.yaml"),
        ("dvc.lock", "schema: '2.0'\nstages:\n  prepare:\n    outs:\n    - pat", 1, "git checkout dvc.lock"),
        pytest.param("results/hashes.json", "[]", 1, "results/hashes.json", marks=pytest.mark.slow),
        pytest.param(PREDICTIONS, "no archive", 1, PREDICTIONS, marks=pytest.mark.slow),
        (".git", None, 2, "Git"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_told_as_such(copy, path, content, status, told):
    """In a line with its remedy, and as JSON: neither a fault of the program, nor a pass."""
    if content is None:
        shutil.rmtree(copy.path / path)
    else:
        (copy.path / path).chmod(0o644)
        (copy.path / path).unlink()  # which may be a link into the cache
        (copy.path / path).write_text(content)
    first = audited(copy, status=status).checks[0]
    assert told.lower() in f"{first.artefact} {first.observed} {first.remedy}".lower()
    done = copy("python", "-m", "stages.audit", fails=True)
    assert "fault of the program" not in done
    assert "Traceback" not in done


def test_names_steer_no_terminal():
    hostile = "CC BY\x1b[2K\naudit of commit: PASS"
    told = printable(hostile)
    assert told.isprintable()
    assert told == r"CC BY\x1b[2K\naudit of commit: PASS"


def test_only_last_digits_may_differ_on_another_machine():
    for first, second, path, expected in (
        ("0.7759 of", "0.7760 of", "report.md", True),
        ("0.7759 of", "0.7779 of", "report.md", False),
        ("a,0.00010", "a,0.00001", "curves.csv", False),
        ("a,0.7759312", "a,0.7759313", "curves.csv", True),
        ("a,1024,0.695764", "a,1024,1.095764", "performance.csv", False),
        ("a,64,128,0.5", "a,64,129,0.5", "curves.csv", False),
        ("a,64", "a,64,1", "curves.csv", False),
        ("13,601 labels", "13,602 labels", "report.md", True),
        ("[64, 128.5]", "[64, 128.6]", "shapes.json", False),
        ('<path d="M 10.01 5"/>', '<path d="M 10.02 5"/>', "a.svg", True),
        ('<path d="M 10.01 5"/>', '<path d="M 11.01 5"/>', "a.svg", False),
        ("<p>0.77</p><svg>10.01</svg>", "<p>0.77</p><svg>10.04</svg>", "report.html", True),
        ("<p>0.77</p><svg>10.01</svg>", "<p>0.74</p><svg>10.01</svg>", "report.html", False),
        ("sha 0123456789abcdef", "sha 0123456789abcdee", "report.md", False),
    ):
        assert is_close(first.encode(), second.encode(), Path(path)) == expected, (first, second)


@pytest.mark.parametrize("name", ["curves.csv", "performance.csv", "forecast.csv", "classes.csv"])
def test_no_number_of_a_table_may_be_another(name):
    """Each by itself, whatever stands beside it."""
    content = (ROOT / "results" / name).read_text(encoding="utf-8")
    table = list(csv.reader(content.splitlines()))
    for i, j in [(i, j) for i in (1, len(table) - 1) for j in range(len(table[0]))]:
        try:
            forged = f"{float(table[i][j]) * 1.01 + 0.001}"
        except ValueError:
            continue
        changed = [[forged if (i, j) == (k, m) else cell for m, cell in enumerate(row)] for k, row in enumerate(table)]
        text = "\n".join(",".join(row) for row in changed)
        plain = "\n".join(",".join(row) for row in table)
        assert is_close(plain.encode(), plain.encode(), Path(name))
        assert not is_close(plain.encode(), text.encode(), Path(name)), (i, table[0][j])


@pytest.mark.slow
def test_a_strangers_replay(copy, tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(copy.path), str(tmp_path / "stranger")], check=True)
    stranger = Clone(tmp_path / "stranger")
    told = stranger("python", "-m", "stages.replay")
    assert "6 equal bits; receipt: results/replay.json" in told
    assert {cell["found"] for cell in json.loads(stranger.read("results/replay.json"))["cells"]} == {"equal bits"}
    assert not (stranger.path / "data/predictions").exists()
    hashes = json.loads(stranger.read("results/hashes.json"))
    hashes["small_nn"]["128"]["predictions.npz"] = "0" * 64
    (stranger.path / "results/hashes.json").write_text(json.dumps(hashes))
    stranger.commit("other bits, on the machine of the study")
    told = stranger("python", "-m", "stages.replay", fails=True)
    assert "small_nn-128: different" in told
    assert "5 equal bits, 1 different" in told


@pytest.mark.parametrize(
    ("processor", "by", "status", "expected"),
    [
        (None, 0.0, "ok", "different"),
        ("another", 0.0, "ok", "within tolerance"),
        ("another", 0.1, "ok", "different"),
        (None, 0.0, "timeout", "timed out"),
    ],
)
def test_what_a_replay_says_of_other_bits(copy, monkeypatch, processor, by, status, expected):
    """A commit whose cell has another hash, and perhaps another machine, mean or status; trained anew: what is here."""
    results = copy.path / "results"
    names = ("hashes.json", "costs.json", "cells.json", "curves.csv")
    here = {name: (results / name).read_bytes() for name in names}
    hashes, costs, cells = (json.loads(here[name]) for name in names[:3])
    hashes["small_nn"]["128"]["predictions.npz"] = "0" * 64
    for cell in costs["cells"]:
        cell["processor"] = processor or cell["processor"]
    next(cell for cell in cells if (cell["learner"], cell["n_train"]) == ("small_nn", 128))["status"] = status
    table = [line.split(",") for line in here["curves.csv"].decode().splitlines()]
    metric = json.loads((results / "metrics.json").read_bytes())["metric"]
    row = next(row for row in table if row[:3] == ["small_nn", "128", metric])
    row[3] = str(float(row[3]) + by)
    (results / "curves.csv").write_text("\n".join(map(",".join, table)) + "\n")
    for name, content in zip(names, (hashes, costs, cells), strict=False):
        (results / name).write_text(json.dumps(content))
    copy.commit("as it was")
    for name, content in here.items():
        (results / name).write_bytes(content)
    monkeypatch.chdir(copy.path)
    receipt = compared("HEAD", copy.path)
    found = {(cell.learner, cell.n_train): cell.found for cell in receipt.cells}
    assert found.pop(("small_nn", 128)) == expected
    assert set(found.values()) == {"equal bits"}
    assert receipt.is_of_study == (processor is None)


@pytest.mark.parametrize(
    ("change", "is_forged", "expected"),
    [
        ({}, False, "equal bits"),
        ({"epochs": [1, 1, 1]}, False, "within tolerance"),
        ({"reason": "another"}, False, "different"),
        (ON_GPU, False, "equal bits"),
        (ON_GPU | {"epochs": [1, 1, 1], "reason": "another"}, False, "other accelerator"),
        (ON_GPU | {"replicates": []}, False, "different"),
        (ON_GPU, True, "different"),
        ({}, True, "different"),
    ],
)
def test_predictions_of_equal_bits_are_told_as_such_whatever_packages_their_record_names(
    copy, monkeypatch, change, is_forged, expected
):
    """A commit whose cell.json names another Python, and something else; trained anew: what is here."""
    results = copy.path / "results"
    names = ("hashes.json", "cells.json")
    here = {name: (results / name).read_bytes() for name in names}
    hashes, cells = (json.loads(here[name]) for name in names)
    cell = next(cell for cell in cells if (cell["learner"], cell["n_train"]) == ("small_nn", 128))
    cell |= change | {"versions": cell["versions"] | {"python": "3.99.0"}}
    said = artefacts.json_of({key: value for key, value in cell.items() if key != "marks"})
    hashes["small_nn"]["128"]["cell.json"] = "0" * 64 if is_forged else hashlib.sha256(said.encode()).hexdigest()
    for name, content in zip(names, (hashes, cells), strict=True):
        (results / name).write_text(json.dumps(content))
    copy.commit("made with another Python")
    for name, content in here.items():
        (results / name).write_bytes(content)
    monkeypatch.chdir(copy.path)
    receipt = compared("HEAD", copy.path)
    assert not receipt.is_of_study
    assert {cell.found for cell in receipt.cells if (cell.learner, cell.n_train) == ("small_nn", 128)} == {expected}


@pytest.mark.parametrize(
    ("change", "differs"),
    [({}, 0), ({"linear_algebra": None}, 0), ({"linear_algebra": "another 1.0 Generic"}, 1)],
)  # fmt: skip
def test_cells_of_another_library_of_linear_algebra_are_of_another_machine(copy, monkeypatch, change, differs):
    path = copy.path / "data/timings/small_nn/128.json"
    timing = json.loads(path.read_text())
    assert timing["host"]["linear_algebra"] == provenance.linear_algebra()
    path.unlink()
    path.write_text(json.dumps(timing | {"host": timing["host"] | change}))
    monkeypatch.chdir(copy.path)
    machine.unlike.cache_clear()
    assert [line for line in machine.unlike() if line.startswith("linear algebra by another 1.0")] == list(
        machine.unlike()
    )
    assert len(machine.unlike()) == differs
    machine.unlike.cache_clear()


def test_cells_of_one_kind_that_were_made_in_two_ways_are_told():
    cells = [records.cell("a", 64), records.cell("b", 64, kind="another", threads=1), records.cell("a", 128)]
    assert hardware(cells).status == "PASS"
    assert hardware([*cells, records.cell("c", 64, precision="bf16-mixed")]).status == "PASS"  # as its params ask
    found = hardware([*cells, records.cell("c", 256, threads=3)])
    assert found.status == "WARN"
    assert "cells of kind network: cpu, threads 2 and cpu, threads 3" in found.observed
    assert hardware([*cells, records.cell("a", 256, precision="bf16-mixed")]).status == "WARN"


@pytest.mark.parametrize("is_changed", [False, True])
def test_raw_data_of_packages_are_held_against_the_data_card(tmp_path, monkeypatch, is_changed):
    monkeypatch.chdir(tmp_path)
    save_records(tmp_path / CARD, records.card())
    save_records(tmp_path / "anew" / CARD, records.card(sha256={"x": "1" * 64}) if is_changed else records.card())
    assert [check.status for check in raw(tmp_path / "anew", "")] == ["FAIL" if is_changed else "PASS"]
    assert list(raw(tmp_path / "anew", "folder/x")) == []  # a file of the user's, which is hashed by itself
    (tmp_path / CARD).write_text("{}")
    assert list(raw(tmp_path / "anew", "")) == []  # of which the comparison tells


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["equal bits", "within tolerance"], 0),
        (["equal bits", "timed out"], 2),
        (["timed out"], 2),
        (["timed out", "different"], 1),
        (["within tolerance", "other accelerator"], 2),
    ],
)
def test_a_replay_that_did_not_compare_a_cell_does_not_say_that_all_are_equal(found, expected):
    cells = [Replayed(learner="a", n_train=n, found=of, metric="error", apart=0, tolerance=0)
             for n, of in enumerate(found, 1)]  # fmt: skip
    assert status_of(cells) == expected


@pytest.mark.slow
def test_against_an_earlier_commit(copy):
    before = copy("git", "rev-parse", "HEAD").strip()
    assert audited(copy, "--against", before).verdict == "pass"
    copy.compose("train.seed=1")
    copy.repro()
    copy.commit("another seed")
    found = audited(copy, "--against", before, status=1)
    assert found.checks[0].name == f"cells of {before}"
    assert audited(copy, "--against", "nothing", status=2).verdict == "could not check"


# The line of a study: raw.csv -> prepare -> pool -> train -> cell -> evaluate -> curves.csv -> plot -> report.html.
LINE = [
    Stage("prepare", "", ("raw.csv", "stages/prepare"), ("data/pool",), frozenset(), ("dataset",)),
    Stage("train", "", ("data/pool",), ("data/cell",), frozenset(), ()),
    Stage("evaluate", "", ("data/cell",), ("results/curves.csv",), frozenset(), ("evaluate",)),
    Stage("plot", "", ("results/curves.csv",), ("results/report.html",), frozenset(), ()),
]


def failure(artefact: str) -> Check:
    return fails("a check", artefact, "this", "that", "mend it")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["results/report.html", "data/cell"], [("data/cell", None), ("results/report.html", "data/cell")]),
        (["data/cell/a.npz", "raw.csv"], [("raw.csv", None), ("data/cell/a.npz", "raw.csv")]),
        (["results/report.html"], [("results/report.html", None)]),
        (["params.yaml", "params.yaml: evaluate.a", "results/curves.csv"],
         [("params.yaml: evaluate.a", None), ("params.yaml", "params.yaml: evaluate.a"),
          ("results/curves.csv", "params.yaml: evaluate.a")]),
        (["params.yaml: a", "conf/b.yaml"], [("conf/b.yaml", None), ("params.yaml: a", "conf/b.yaml")]),
        (["data/cell", "data/cell/a.npz"], [("data/cell/a.npz", None), ("data/cell", "data/cell/a.npz")]),
        ([".dvc/cache/x", "data/cell"], [(".dvc/cache/x", None), ("data/cell", None)]),
    ],
)  # fmt: skip
def test_consequences_stand_under_their_cause(found, expected):
    checks = ordered([passes("fine", "x", "", ""), *map(failure, found)], LINE)
    assert [(check.artefact, check.because_of) for check in checks if check.status == "FAIL"] == expected
    assert checks[-1].status == "PASS"


def test_a_replay_of_no_cell_is_refused(copy):
    for asked, told in (
        ("0", "at least one cell"),
        ("", "no cell of the grid"),
        ("small_nn-63", "did you mean 'small_nn-64'?"),
    ):
        done = copy("python", "-m", "stages.audit", "--replay", asked, fails=True)
        assert told in done
        assert len(done.splitlines()) == 1
    shutil.rmtree(copy.path / "data/subsets")
    assert audited(copy, status=1).checks[0].artefact == "data/subsets"
