"""Of single cells: how near their fits come to the rate of their matrix products, and what they take beside them."""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from threadpoolctl import threadpool_limits

from stages.common import artefacts
from stages.common.records import load_records
from stages.contract.cell import Choices, Timing
from stages.run.warmth import Warmth
from stages.train.budget import draws_of
from stages.train.jobs import Job
from stages.train.learners.network import NetworkLearner
from stages.train.network.hardware import find_hardware
from stages.train.params import Network
from stages.train.setup import load_setup

LEARNER, SIZE = "large_nn", 32768
CELLS = (("logistic_regression", 1024), ("gradient_boosting", 1024), ("small_nn", 1024))
LINKED = ("params.yaml", "requirements.lock", "stages", "data/prepared", "data/subsets", "data/tuning")
PRODUCTS = 200


def matmul_fraction() -> dict[str, Any]:
    """Operations of all fits of the cell over CPU seconds of fit and refit, over the rate of float32 products of the
    shapes of a step, forward and backward; one thread each, in turn, the better of two."""
    setup = load_setup(LEARNER)
    rows = artefacts.load_array(artefacts.subset_path(SIZE))
    replicates = [setup.replicate(draw, draw, of_draw) for draw, of_draw in enumerate(rows)]
    tuned = load_records(artefacts.tuning_path(LEARNER, SIZE), Choices)
    chosen = tuned.choices or [0] * len(replicates)
    draws = draws_of(replicates, setup.pool, setup.budget)
    jobs = [Job(draw, setup.settings[i], rep.seed) for draw, i, rep in zip(draws, chosen, replicates, strict=True)]
    assert isinstance(setup.config, Network)
    learner = NetworkLearner(setup.config, setup.n_classes, find_hardware())
    rates, of_products = [], []
    with threadpool_limits(1):
        torch.set_num_threads(1)
        for _ in range(2):
            started = time.process_time()
            learner.fit(jobs)
            records = learner.refit(range(len(jobs)))
            took = time.process_time() - started
            rates.append(sum(record.train_flops or 0.0 for record in records) / took)
            of_products.append(rate_of_products(len(jobs), setup.config.batch_size, learner.widths))
    rate, of_product = max(rates), max(of_products)
    found = {"matmul_fraction": rate / of_product, "gflops_of_fit": rate / 1e9, "gflops_of_products": of_product / 1e9}
    return {name: round(value, 3) for name, value in found.items()}


def rate_of_products(n_models: int, n_rows: int, widths: list[int]) -> float:
    """Operations a CPU second of the products of a step through layers of these widths, and back."""
    products: list[Callable[[], object]] = []
    n_operations = 0
    for n_in, n_out in itertools.pairwise(widths):
        x, w, g = (torch.randn(n_models, *size) for size in ((n_rows, n_in), (n_in, n_out), (n_rows, n_out)))
        products += [partial(torch.bmm, x, w), partial(torch.bmm, x.mT, g), partial(torch.bmm, g, w.mT)]
        n_operations += 3 * 2 * n_models * n_rows * n_in * n_out
    for product in products:
        product()
    started = time.process_time()
    for _ in range(PRODUCTS):
        for product in products:
            product()
    return PRODUCTS * n_operations / (time.process_time() - started)


def overhead_of_cells() -> dict[str, Any]:
    """Mean CPU seconds of a warm cell, its starting process included, outside its fits."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, Warmth(1, is_needed=True) as warmth:
        for name in LINKED:
            target = Path(folder) / name
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(Path(name).resolve())
        environment = warmth.environment
        server = psutil.Process(warmth.server.pid)
        for learner, n in CELLS:
            before = server.cpu_times()
            process = subprocess.Popen([sys.executable, "-m", "stages.train", learner, str(n)], cwd=folder,
                                       env=environment, stdout=subprocess.DEVNULL)  # fmt: skip
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"{learner}-{n} failed")
            after = server.cpu_times()
            of_child = after.children_user + after.children_system - before.children_user - before.children_system
            timing = load_records(Path(folder) / artefacts.timing_path(learner, n), Timing)
            assert timing.is_warm
            assert timing.fit_cpu_seconds is not None
            found[f"{learner}-{n}"] = round(of_child + usage.ru_utime + usage.ru_stime - timing.fit_cpu_seconds, 3)
    return {"overhead_seconds_per_cell": round(sum(found.values()) / len(found), 3), "overhead_by_cell": found}
