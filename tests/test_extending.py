"""docs/extending.md: each recipe works as it stands, and touches the files that it names alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BASE = ["dataset=digits", "scale=smoke", "learners=[logistic_regression]"]
OF_KIND = ["dataset=runs", "scale=smoke"]
LEARNERS = "learners=[logistic_regression,gradient_boosting,engineered_logistic,random_forest,small_nn,medium_nn]"


def blocks(title: str) -> dict[str, tuple[bool, str]]:
    """Of a section by path: whether the text is the whole file, and the text."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    found = re.findall(r"```\w+\n# (file|in): (\S+)\n(.*?)```", section, re.DOTALL)
    return {path: (how == "file", text) for how, path, text in found}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project in a repository of its own."""
    for folder in ("conf", "stages"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("dvc.yaml", ".dvcignore", ".gitignore", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text() + "/data\n/results\n/params.yaml\n/.dvc\n")
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@t"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "begin"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True)
    return tmp_path


def follow(copy: Path, title: str) -> list[str]:
    """Writes what the recipe says; the paths it names."""
    for path, (is_whole, text) in blocks(title).items():
        target = copy / path
        target.write_text(text if is_whole else target.read_text() + "\n\n" + text)
    return sorted(blocks(title))


def run(copy: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def study(copy: Path, *overrides: str) -> None:
    """Compose and run every stage, without DVC."""
    from stages.common.params import read_yaml

    run(copy, "stages.compose", *overrides)
    grid = read_yaml(copy / "params.yaml")["grid"]
    run(copy, "stages.prepare")
    run(copy, "stages.subsample")
    for learner in grid["learners"]:
        run(copy, "stages.train", "--tune", learner)
        for n in grid["sizes"]:
            run(copy, "stages.train", learner, str(n))
    run(copy, "stages.evaluate")
    run(copy, "stages.plot")


def changed(copy: Path) -> list[str]:
    """What Git sees, new files among it."""
    told = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"], cwd=copy, capture_output=True, text=True, check=True
    )
    return sorted(line[3:] for line in told.stdout.splitlines())


@pytest.mark.pipeline
def test_a_learner(copy: Path):
    named = follow(copy, "A learner")
    study(copy, *BASE[:-1], "learners=[logistic_regression,naive_bayes]")
    assert "naive_bayes,64,accuracy,0." in (copy / "results/curves.csv").read_text()
    assert changed(copy) == named


@pytest.mark.pipeline
def test_a_data_set(copy: Path):
    named = follow(copy, "A data set")
    study(copy, "dataset=breast_cancer", *BASE[1:])
    assert "Breast cancer" in (copy / "results/report.html").read_text()
    assert changed(copy) == named


@pytest.mark.pipeline
def test_a_metric_and_a_figure(copy: Path):
    named = follow(copy, "A metric") + follow(copy, "A figure")
    study(copy, *BASE, "dataset.metric=margin")
    assert "logistic_regression,64,margin,0." in (copy / "results/curves.csv").read_text()
    assert "Probability missed" in (copy / "results/report.html").read_text()
    assert (copy / "results/figures/log_loss.svg").is_file()
    assert "Log loss against the number of labels" in (copy / "results/report.html").read_text()
    assert changed(copy) == sorted(named)


@pytest.mark.pipeline
@pytest.mark.slow
def test_data_of_a_new_kind(copy: Path):
    """Raw and engineered, one-hot and in bags, for learners of every kind."""
    named = follow(copy, "Data of a new kind")
    assert len(named) == 3
    study(copy, *OF_KIND, LEARNERS)
    study(copy, *OF_KIND, "learners=[small_nn]", "dataset.network_features=engineered")
    assert changed(copy) == named


def test_training_knows_no_kinds_of_data_outside_inputs():
    """No word of words, images, letters, pixels or n-grams of the data."""
    words = re.compile(r"\b(words?|images?|letters?|pixels?|n-?grams?)\b", re.IGNORECASE)
    for path in (ROOT / "stages" / "train").rglob("*.py"):
        if "inputs" not in path.parts:
            found = [line for line in path.read_text().splitlines() if words.search(line)]
            assert found == [], path
