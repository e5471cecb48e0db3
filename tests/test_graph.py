"""dvc.yaml declares what the stages read: files, keys, and the test labels for `evaluate` alone."""

import ast
import json
import pkgutil
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ROOMS = ["prepare", "subsample", "train", "evaluate", "plot"]
OF_TRAIN = ["stages.train.inputs", "stages.train.learners"]
FOUND_BY_NAME = {"prepare": ["stages.prepare.sources"], "tune": OF_TRAIN, "train": OF_TRAIN}
LINE = ["prepare", "subsample", "tune", "train", "evaluate", "plot"]  # tune is train's code


def imported_files(module: str) -> set[Path]:
    """First-party files that running `module` may import, wherever in the code the import stands."""
    found: set[Path] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        path = ROOT.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not path.exists() or path in found:
            continue
        found.add(path)
        todo += [name.rsplit(".", 1)[0]] if "." in name else []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names if alias.name.startswith("stages")]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stages"):
                todo += [node.module or ""] + [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def declared(stage: str) -> list[str]:
    return [dep for dep in STAGES[stage]["deps"] if isinstance(dep, str)]


def is_declared(path: Path, deps: list[str]) -> bool:
    relative = path.relative_to(ROOT)
    return any(relative == Path(dep) or Path(dep) in relative.parents for dep in deps)


@pytest.mark.parametrize("stage", STAGES)
def test_every_first_party_file_a_stage_imports_is_among_its_deps(stage):
    room = {"guard": "compose", "tune": "train"}.get(stage, stage)
    files = imported_files(f"stages.{room}.__main__")
    assert ROOT / "stages" / room / "__main__.py" in files
    for package in FOUND_BY_NAME.get(stage, []):
        names = [module.name for module in pkgutil.iter_modules([str(ROOT.joinpath(*package.split(".")))])]
        assert names, package
        files |= {path for name in names for path in imported_files(f"{package}.{name}")}
    undeclared = [str(path.relative_to(ROOT)) for path in files if not is_declared(path, declared(stage))]
    assert undeclared == []


@pytest.mark.parametrize("room", [*ROOMS, "contract", "common"])
def test_no_room_imports_another(room):
    """What one writes and another reads is in `contract`, which all share."""
    shared = {"contract", "common"} if room in ROOMS else {"common"}
    for path in (ROOT / "stages" / room).rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        others = imported_files(module) - {path}
        rooms = {other.relative_to(ROOT / "stages").parts[0] for other in others}
        assert rooms <= {room, *shared, "__init__.py"}, path


def test_test_labels_are_no_input_of_training():
    readers = [name for name in STAGES for dep in declared(name) if "data/prepared/test_labels.npy".startswith(dep)]
    assert readers == ["evaluate"]
    outs = STAGES["prepare"]["outs"]
    assert "data/prepared/test_labels.npy" in outs
    assert "data/prepared" not in outs


def test_cell_outputs_are_cached_and_results_in_git_are_not():
    assert STAGES["train"]["outs"] == [
        "data/predictions/${item.learner}/${item.n}", "data/timings/${item.learner}/${item.n}.json"
    ]  # fmt: skip
    assert STAGES["tune"]["outs"] == ["data/tuning/${item.learner}", "data/timings/${item.learner}/tune.json"]
    kept_in_git = [out for stage in STAGES.values() for out in stage.get("outs", []) + stage.get("metrics", [])
                   if isinstance(out, dict)]  # fmt: skip
    assert all(list(out.values()) == [{"cache": False}] for out in kept_in_git)
    assert all(key.startswith("results/") for out in kept_in_git for key in out)


def strip(params: dict, keys: list[str]) -> dict:
    """params with the declared dotted keys alone."""
    kept: dict = {}
    for key in keys:
        source, target = params, kept
        *parents, last = key.split(".")
        for parent in parents:
            source, target = source[parent], target.setdefault(parent, {})
        target[last] = source[last]
    return kept


@pytest.fixture(scope="module")
def stripped_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stage of a tiny digits study ran, each with its declared params and inputs alone."""
    work = tmp_path_factory.mktemp("stripped")
    for folder in ("conf", "stages"):
        shutil.copytree(ROOT / folder, work / folder, ignore=shutil.ignore_patterns("__pycache__"))
    overrides = ["dataset=digits", "scale=smoke", "train.threads=1"]
    run(work, "stages.compose", *overrides)
    return work


def run(work: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.pipeline
def test_each_stage_runs_with_its_declared_keys_and_inputs_alone(stripped_study: Path, tmp_path: Path):
    full = yaml.safe_load((stripped_study / "params.yaml").read_text())
    grid = full["grid"]
    learners, sizes = grid["learners"], map(str, grid["sizes"])
    cells_of: dict[str, list[tuple[str, ...]]] = {
        "tune": [(learner, "") for learner in learners], "train": list(product(learners, sizes)),
    }  # fmt: skip
    for stage in LINE:
        for cell in cells_of.get(stage, [()]):

            def fill(text: str, cell: tuple[str, ...] = cell) -> str:
                text = text.replace("${dataset.path}", full["dataset"]["path"])
                return text.replace("${item.learner}", cell[0]).replace("${item.n}", cell[1]) if cell else text

            alone = tmp_path / "-".join([stage, *cell])
            alone.mkdir()
            for dep in map(fill, declared(stage)):
                source, target = stripped_study / dep, alone / dep
                if dep == "data/guard.txt":
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
            (alone / "params.yaml").write_text(yaml.safe_dump(strip(full, [fill(k) for k in STAGES[stage]["params"]])))
            command = ["stages.train", "--tune", cell[0]] if stage == "tune" else [f"stages.{stage}", *cell]
            run(alone, *command)
            for out in STAGES[stage]["outs"] + STAGES[stage].get("metrics", []):
                name = fill(out if isinstance(out, str) else next(iter(out)))
                made, kept = alone / name, stripped_study / name
                assert made.exists(), f"{stage} did not make {name}"
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(made, kept) if made.is_dir() else shutil.copy(made, kept)
    assert (stripped_study / "results/report.html").read_text().startswith("<!doctype html>")
    cell = json.loads((stripped_study / "data/predictions/small_nn/128/cell.json").read_text())
    assert cell["status"] in ("ok", "unconverged")
    assert {"settings", "training_loss", "epochs", "n_parameters", "train_flops", "accelerator", "precision",
            "threads", "replicates", "versions"} <= set(cell)  # fmt: skip


def test_the_committed_lock_is_of_these_params_and_of_this_grid():
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    learners = params["grid"]["learners"]
    cells = {f"train@{learner}-{n}" for learner in learners for n in params["grid"]["sizes"]}
    assert {name for name in lock if name.startswith("train@")} == cells
    assert {name for name in lock if name.startswith("tune@")} == {f"tune@{learner}" for learner in learners}
    for name, stage in lock.items():
        for key, value in stage.get("params", {}).get("params.yaml", {}).items():
            expected = params
            for part in key.split("."):
                expected = expected[part]
            assert value == expected, f"{name}: {key}"


def test_cells_without_a_network_never_import_torch():
    code = (
        "import sys; from stages.train.learners import make_learner; from stages.train.params import *\n"
        "make_learner(LogisticRegression(kind='logistic_regression', features='raw', solver='lbfgs', max_iter=1,"
        " settings=[{'C': 1}]), 2, 1)\n"
        "make_learner(GradientBoosting(kind='gradient_boosting', library='lightgbm', max_rounds=1, patience=1,"
        " arguments={}, settings=[{}]), 2, 1)\n"
        "sys.exit(bool({'torch', 'pytorch_lightning'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
