"""The learners, one module for each kind, found by its name.

Each has `made(config, n_classes, threads) -> Made`: how it is fitted, what it runs on, which packages make its fits.
"""

import gc
import importlib
import os

from stages.train.jobs import Made
from stages.train.params import Kind


def make_learner(config: Kind, n_classes: int, threads: int) -> Made:
    """The learner of this kind; no other kind's libraries are imported."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # else scikit-learn takes no more threads than there are cores
    # MKL promises the same bits from run to run only so; read when torch loads it.
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    os.environ.setdefault("MKL_DYNAMIC", "FALSE")
    gc.disable()  # a tenth of the ten seconds that a network's imports take
    try:
        module = importlib.import_module(f"{__name__}.{config.kind}")
    finally:
        gc.enable()
    made: Made = module.made(config, n_classes, threads)
    return made
