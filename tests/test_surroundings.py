"""What a machine, a shell, an editor or a name brings along changes no study."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from stages.common.errors import InputError
from stages.compose import __main__ as composer
from stages.compose import composing
from tests.conftest import ROOT


def ran(*command: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_another_package_called_stages_is_not_taken_for_ours(tmp_path):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "__init__.py").touch()
    found = ran("-m", "stages.compose", "--help", PYTHONPATH=str(tmp_path))
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("module", ["stages.plot.figures.drawing", "stages.train.network.training"])
def test_the_backend_of_a_notebook_harms_no_stage(module, tmp_path):
    (tmp_path / "matplotlibrc").write_text("backend: TkAgg\naxes.facecolor: black\n")
    code = f"import {module}, matplotlib; print(matplotlib.get_backend())"
    found = ran(
        "-c", code, MPLBACKEND="module://a_notebook.backend_inline", MATPLOTLIBRC=str(tmp_path / "matplotlibrc")
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.lower().endswith("agg\n")


def test_files_come_back_with_their_bytes_whatever_git_converts(tmp_path):
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    (tmp_path / "code.py").write_bytes(b"a\nb\n")
    (tmp_path / "table.csv").write_bytes(b"a\r\nb\r\n")
    commands = (["init", "-q"], ["add", "-A"], ["-c", "user.name=T", "-c", "user.email=t@t", "commit", "-qm", "x"])
    for command in commands:
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    subprocess.run(["git", "clone", "-q", "-c", "core.autocrlf=true", ".", "copy"], cwd=tmp_path, check=True)
    assert (tmp_path / "copy" / "code.py").read_bytes() == b"a\nb\n"
    assert (tmp_path / "copy" / "table.csv").read_bytes() == b"a\r\nb\r\n"


def test_files_of_editors_and_systems_are_no_part_of_a_stage():
    names = [
        "stages/train/learners/.network.py.swp",
        "stages/common/.DS_Store",
        "conf/learners/._small_nn.yaml",
        "conf/config.yaml~",
    ]
    dvc = [sys.executable, "-m", "dvc", "check-ignore", *names, "stages/train/learners/network.py"]
    found = subprocess.run(dvc, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout.split() == names


def test_a_shadow_of_a_learners_file_is_no_learner(workspace):
    (workspace / "conf" / "learners" / "._small_nn.yaml").write_bytes(b"\0\0x")
    composing.composed([])


def composed_by(monkeypatch, *arguments: str) -> dict:
    monkeypatch.setattr(sys, "argv", ["compose", "--reset", *arguments])
    composer.main()
    return yaml.safe_load(Path("params.yaml").read_text())


def table(path: Path, target: str = "y") -> Path:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=300), "b": random.normal(size=300)})
    frame.assign(**{target: random.choice(["no", "yes"], 300)}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("file", "target"),
    [
        ("my.csv", "Outcome (1=yes)"), ("my.csv", "default, next month"), ("my.csv", "won't pay"),
        ("my.csv", "pct > 50%"),
        ("my.csv", "是否流失"), ("my.csv", "back\\slash\\"), ("my.csv", "[a: b]"), ("my.csv", "1e3"), ("my.csv", " y "),
        ("my.csv", 'say "no"'), ("my.csv", "cost ${usd}"), ("train (1).csv", "y"), ("größe.csv", "y"),
        ("it's, mine.csv", "y"),
    ],
)  # fmt: skip
def test_names_are_taken_as_they_stand(file, target, workspace, monkeypatch):
    table(Path(file), target)
    first = composed_by(monkeypatch, "--table", file, "--target", target)
    assert (first["dataset"]["path"], first["dataset"]["target"]) == (file, target)
    monkeypatch.setattr(sys, "argv", ["compose"])
    composer.main()  # from what is recorded
    assert yaml.safe_load(Path("params.yaml").read_text()) == first


def test_a_console_that_cannot_show_a_name_still_composes(workspace):
    table(Path("größe.csv"), "是否流失")
    found = ran("-m", "stages.compose", "--reset", "--table", "größe.csv", "--target", "是否流失", folder=workspace,
                PYTHONIOENCODING="ascii", PYTHONPATH=str(ROOT))  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    assert yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["dataset"]["target"] == "是否流失"


def test_a_file_that_dvc_links_to_its_cache_lies_inside(workspace, tmp_path_factory):
    cached = table(tmp_path_factory.mktemp("cache") / "0f")
    Path("my.csv").symlink_to(cached)
    with pytest.raises(InputError, match="lies outside the project"):
        composing.composed(["dataset=table", "dataset.path=my.csv", "dataset.target=y"])
    Path("my.csv.dvc").write_text("outs: []\n")
    composing.composed(["dataset=table", "dataset.path=my.csv", "dataset.target=y"])


def test_an_override_that_hydra_cannot_read_is_told_how_to_be_quoted(workspace):
    message = (
        r"^the override 'dataset.target=pct > 50%' cannot be read; quote its value, as in .* or use --table and --t"
    )
    with pytest.raises(InputError, match=message):
        composing.composed(["dataset=table", "dataset.target=pct > 50%"])


def test_a_path_inside_the_project_is_recorded_as_it_lies_in_every_clone(workspace, monkeypatch, capsys):
    (workspace / "mine").mkdir()
    path = table(workspace / "mine" / "my.csv")
    found = composed_by(monkeypatch, "dataset=table", f"dataset.path={path}", "dataset.target=y")
    assert found["dataset"]["path"] == "mine/my.csv"
    assert "dataset.path='mine/my.csv'" in found["compose"]["overrides"]
    assert "dataset.path is recorded as mine/my.csv, relative to the project" in capsys.readouterr().out


def test_an_override_is_recorded_as_it_was_typed_and_followed_when_composed_again(workspace, monkeypatch):
    found = composed_by(monkeypatch, "dataset=digits", "train.seed=${dataset.seed}", "dataset.seed=7")
    assert found["train"]["seed"] == 7
    assert "train.seed=${dataset.seed}" in found["compose"]["overrides"]
    monkeypatch.setattr(sys, "argv", ["compose", "dataset.seed=8"])
    composer.main()
    assert yaml.safe_load(Path("params.yaml").read_text())["train"]["seed"] == 8
