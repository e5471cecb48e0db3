"""What README and docs say to do can be done, and what they point to is there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_iris

from stages.common.errors import InputError
from stages.compose import composing
from stages.publish import __main__ as publish
from tests.clones import ROOT, Clone

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
WORDS = {
    "supported": "holds",
    "refuted": "does not hold",
    "inconclusive": "undecided",
    "not tested": "not tested",
}  # of verdicts
HOSTILE = 'what, "they" said; é / 50 %'


def blocks(page: Path) -> list[str]:
    """Commands of the page's bash blocks, each in one line without its comment."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        joined = block.replace("\\\n", " ")
        found += [line.partition(" #")[0].strip() for line in joined.splitlines() if line.strip()]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_study_that_is_named_can_be_composed(page, workspace):
    for command in blocks(page):
        for part in command.split("&&"):
            words = shlex.split(part)
            if words[:3] == ["python", "-m", "stages.compose"] and not any("my" in word for word in words):
                overrides = [word for word in words[3:] if not word.startswith("--")]
                if "dataset=openml" not in overrides:  # which asks a server
                    composing.composed(overrides)


@pytest.mark.parametrize("page", ["README.md", "docs/README.ko.md"])
def test_the_answer_that_is_told_is_that_of_the_recorded_study(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    options = {option["option"]: option for option in json.loads((ROOT / "results/advice.json").read_text())["options"]}
    data, network = options["more data"]["gain"], options["bigger network"]["gain"]["median"]
    told = [f"{data[key]:+.4f}".replace("0.", ".") for key in ("median", "low80", "high80")]
    assert [number for number in told if number not in text] == []
    assert f"{-network:.3f}".replace("0.", ".") in text


def test_a_kept_study_outlives_a_publish_that_lacks_something(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["publish", "kept"])
    for name in publish.KEPT:
        for folder in ("results", "docs/studies/kept"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, name).write_text("")
    with pytest.raises(InputError, match="results/figures is missing"):
        publish.main()
    assert Path("docs/studies/kept/report.md").exists()


def test_what_is_told_of_all_studies_is_what_the_kept_ones_say(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert Path("docs/studies/README.md").read_text(encoding="utf-8") == publish.told()
    front = Path("README.md").read_text(encoding="utf-8")
    assert front == publish.fronted(front)
    verdicts = {path.parent.name: json.loads(path.read_text()) for path in Path("docs/studies").glob("*/claims.json")}
    for study, claims in verdicts.items():
        column = (
            next(line for line in front.splitlines() if f"[{study}]" in line)
            .split("|")
            .index(f" [{study}](docs/studies/{study}/report.md) ")
        )
        for claim in claims:
            row = next(line for line in front.splitlines() if line.startswith(f"| {claim['statement']} |"))
            assert WORDS[claim["verdict"]] in row.split("|")[column]


@pytest.mark.slow
@pytest.mark.pipeline
def test_the_lesson_can_be_taught(tmp_path):
    clone = Clone.of_work_tree(tmp_path)
    for command in blocks(ROOT / "docs/teaching.md"):
        clone("bash", "-c", command)
    assert b"digits" in clone.read("results/metrics.json")


@pytest.mark.slow
@pytest.mark.pipeline
@pytest.mark.parametrize("target", ["species", HOSTILE])
def test_one_command_asks_of_a_table_of_ones_own(tmp_path, target):
    clone = Clone.of_work_tree(tmp_path)
    frame = load_iris(as_frame=True).frame
    frame.columns = [*(f"{HOSTILE} {i}" for i in range(4)), target]
    frame[target] = frame[target].map({0: "setosa", 1: "versicolor", 2: "virginica"})
    pd.DataFrame(frame).to_csv(clone.path / "my table.csv", index=False)
    (clone.path / ".venv").symlink_to(Path(sys.prefix))
    (clone.path / ".venv/installed").touch()
    told = clone("make", "--old-file=.venv/bin/installed", "ask", "TABLE=my table.csv", f"TARGET={target}",
                 "OVERRIDES=scale=smoke")  # fmt: skip
    end = told.splitlines()[-12:]
    assert end[-2] == f"The report: {clone.path / 'results/report.html'}"
    assert max(map(len, end[:-2])) <= 80
    assert "setosa" in clone.read("results/report.html").decode()
    wrong = subprocess.run(["make", "--old-file=.venv/bin/installed", "ask", "TABLE=none.csv", "TARGET=y"],
                           cwd=clone.path, capture_output=True, text=True, check=False)  # fmt: skip
    assert wrong.returncode != 0
    assert [line for line in wrong.stderr.splitlines() if line.startswith("error: ")] != []


@pytest.mark.slow
@pytest.mark.pipeline
def test_experiments_of_dvc_as_they_are_told(copy):
    told = "".join(copy("bash", "-c", command) for command in blocks(ROOT / "docs/sharing.md")[-5:])
    assert copy("git", "status", "--porcelain", "results").strip() != ""
    assert re.search(r"learners\.small_nn\.units\W+8\W+16", told)  # dvc exp diff, dvc params diff
    assert "small16" in told
    assert "file://" in told  # dvc plots diff
