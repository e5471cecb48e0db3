"""cells.json: every cell of the grid, as `evaluate` found it."""

from stages.contract.cell import Cell


class MeasuredCell(Cell):
    """marks: what a reader must know of the cell before trusting it."""

    marks: list[str]
