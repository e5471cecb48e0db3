"""How far apart the same cell may be on another class of machine, by kind of learner.

Measured by `python -m benchmarks.tolerance`: the largest difference of a metric that one replicate showed when the same
cell was trained on another processor, with other numbers of threads and with other instruction sets of the processor.
"""

from pathlib import Path

from stages.common import artefacts

MEASURED = Path(__file__).with_name("tolerance.json")
ROUNDING = 1e-4  # relative, of numbers that follow from the same predictions by other instructions


def allowed(kind: str, metric: str) -> float:
    """In units of the metric; 0 of a kind, or of a metric, that was not measured."""
    return float(artefacts.load_json(MEASURED)["largest_difference"].get(kind, {}).get(metric, 0.0))
