"""Remove the predictions of cells that the grid no longer names: `python -m stages.prune`.

DVC keeps its cached copies, so a cell that the grid names again comes back without training.
"""

import shutil

from pydantic import BaseModel

from stages.common import params
from stages.common.artefacts import PREDICTIONS, cell_path
from stages.common.errors import run


class Grid(BaseModel):
    learners: list[str]
    sizes: list[int]


def main() -> None:
    grid = params.load(Grid, "grid")
    named = {cell_path(learner, n_train) for learner in grid.learners for n_train in grid.sizes}
    stale = [path for path in sorted(PREDICTIONS.glob("*/*")) if path not in named]
    for path in stale:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for folder in sorted(PREDICTIONS.glob("*")):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if stale:
        names = ", ".join(f"{path.parent.name}-{path.name}" for path in stale)
        print(f"prune: removed what the grid no longer names: {names}")


if __name__ == "__main__":
    run(main)
