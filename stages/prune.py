"""Remove the predictions and tuning of cells that the grid no longer names: `python -m stages.prune`.

`python -m stages.compose` does it too whenever it writes params.yaml. DVC keeps its cached copies, so a cell that the
grid names again comes back without training.
"""

import shutil

from stages.common import params
from stages.common.artefacts import PREDICTIONS, TIMINGS, TUNING, cell_path
from stages.common.errors import run
from stages.common.params import Grid


def prune(grid: Grid) -> None:
    """Leaves in data/ the folders of the grid's cells and learners alone, and says which cells were removed."""
    named = {cell_path(learner, n_train) for learner in grid.learners for n_train in grid.sizes}
    stale = [path for path in sorted(PREDICTIONS.glob("*/*")) if path.is_dir() and path not in named]
    for path in stale:
        shutil.rmtree(path)
    for folder in [*TUNING.glob("*"), *TIMINGS.glob("*")]:
        if folder.is_dir() and folder.name not in grid.learners:
            shutil.rmtree(folder)
    for folder in PREDICTIONS.glob("*"):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if stale:
        names = ", ".join(f"{path.parent.name}-{path.name}" for path in stale)
        print(f"prune: removed what the grid no longer names: {names}")


if __name__ == "__main__":
    run(lambda: prune(params.load(Grid, "grid")))
