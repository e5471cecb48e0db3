"""Remove the predictions and tuning of cells that the grid no longer names: `python -m stages.prune`.

`python -m stages.compose` does it too whenever it writes params.yaml, and `evaluate` before it ends. DVC keeps its
cached copies, so a cell that the grid names again comes back without training.
"""

from stages.common import artefacts, params
from stages.common.params import Grid


def main() -> None:
    grid = params.load(Grid, "grid")
    artefacts.prune(grid.learners, grid.sizes)
