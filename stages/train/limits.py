"""What fits may use: threads, and time, which the process that started this one keeps."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from threadpoolctl import threadpool_limits

from stages.train.jobs import Origin
from stages.train.params import Train
from stages.train.parent import REPORT


@contextmanager
def limits(budget: Train, origin: Origin) -> Iterator[None]:
    """Within it the fits have so many threads; their time begins.

    To be entered after make_learner: the threads are limited of libraries that are loaded alone.
    """
    if REPORT in os.environ:
        with os.fdopen(int(os.environ.pop(REPORT)), "w") as pipe:
            pipe.write(json.dumps({"limit": budget.timeout_seconds} | asdict(origin)) + "\n")
    with threadpool_limits(budget.threads):
        yield


def too_long(seconds: float) -> str:
    return f"longer than train.timeout_seconds={seconds:g}"
