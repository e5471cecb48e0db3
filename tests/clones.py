"""Temporary clones of the project in which the real commands run, and the small study that many tests share."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMALL = ["dataset=digits", "scale=smoke", "scale.replicates.rows=256"]  # 4 replicates of 64 rows, 3 of 128
LEARNERS = ("logistic_regression", "gradient_boosting", "small_nn")
TUNES = [f"tune@{learner}" for learner in LEARNERS]
CELLS = [f"train@{learner}-{n}" for learner in LEARNERS for n in (64, 128)]
ALL = ["guard", "prepare", "subsample", *TUNES, *CELLS, "evaluate", "plot"]


class Clone:
    """A git repository with the project's files as they are in the work tree."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def of_work_tree(cls, path: Path) -> "Clone":
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, path / name)
        clone = cls(path)
        clone("git", "init", "--quiet")
        clone.commit("start")
        return clone

    def __call__(self, *command: str, fails: bool = False) -> str:
        """Standard output and error of a command, which must succeed, or must fail."""
        paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        identity = {
            f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        env = os.environ | identity | {"PATH": paths}
        del env["OMP_NUM_THREADS"]  # the stages set it for themselves
        done = subprocess.run(command, cwd=self.path, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def commit(self, message: str) -> None:
        self("git", "add", "--all")
        self("git", "commit", "--quiet", "--message", message)

    def compose(self, *arguments: str, fails: bool = False) -> str:
        return self("python", "-m", "stages.compose", *arguments, fails=fails)

    def repro(self) -> list[str]:
        """The stages that `dvc repro` ran, in order."""
        return [line.split("'")[1] for line in self("dvc", "repro").splitlines() if line.startswith("Running stage")]

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


def cells_of(clone: Clone) -> list[str]:
    """Processes of stages that run in this folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            if (folder / "cwd").readlink() == clone.path and any(word.startswith("stages.") for word in words):
                found.append(" ".join(words))
        except (OSError, UnicodeDecodeError):
            continue
    return found
