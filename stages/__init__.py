"""A package of its own, so that another `stages` on PYTHONPATH is not taken for it; set before any library is loaded:
what a notebook or a shell says of matplotlib's windows, which no stage opens."""

import os

os.environ["MPLBACKEND"] = "agg"
