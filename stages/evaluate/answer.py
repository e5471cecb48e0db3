"""The measured curves in a few lines of words."""

from stages.common.artefacts import Json
from stages.common.params import Grid
from stages.evaluate.metrics import HIGHER_IS_BETTER, LABELS


def headline(rows: list[Json], metric: str, grid: Grid) -> Json:
    """Per learner: mean and band at the grid's largest size, and the gain of the last step in data (better: positive).

    Values are None where a cell has no usable fit.
    """
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    by_cell = {(row["learner"], row["n_train"]): row for row in rows if row["metric"] == metric}
    summary: Json = {}
    for learner in grid.learners:
        last = by_cell[learner, grid.sizes[-1]]
        before = by_cell[learner, grid.sizes[-2]]["mean"] if len(grid.sizes) > 1 else None
        gain = None if last["mean"] is None or before is None else sign * (last["mean"] - before)
        summary[learner] = {key: last[key] for key in ("n_train", "mean", "low", "high")} | {"last_gain": gain}
    return summary


def answer_lines(summary: Json, metric: str, cells: list[Json]) -> list[str]:
    """Who leads at the largest size, what the last step in data brought each learner, and how many cells are marked."""
    sign = -1 if HIGHER_IS_BETTER[metric] else 1
    n_last = max(entry["n_train"] for entry in summary.values())
    order = sorted(summary, key=lambda name: (summary[name]["mean"] is None, sign * (summary[name]["mean"] or 0)))
    lines = [f"{LABELS[metric]} with {n_last:,} labels, best first:"]
    for name in order:
        entry = summary[name]
        if entry["mean"] is None:
            lines.append(f"  {name:<22} no usable fit")
            continue
        band = f" [{entry['low']:.4f}, {entry['high']:.4f}]" if entry["low"] is not None else ""
        gain = f", the last step in data brought {entry['last_gain']:+.4f}" if entry["last_gain"] is not None else ""
        lines.append(f"  {name:<22} {entry['mean']:.4f}{band}{gain}")
    n_marked = sum(bool(cell["marks"]) for cell in cells)
    if n_marked:
        lines.append(f"{n_marked} of {len(cells)} cells are marked: the report says why.")
    return lines
