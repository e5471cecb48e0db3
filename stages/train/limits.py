"""What a fit may use: threads, and time."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits

from stages.train.params import Train


class FitTimeout(BaseException):
    """The cell took longer than train.timeout_seconds; no library between here and the timer may swallow it."""


@contextmanager
def limits(budget: Train) -> Iterator[None]:
    """Within it the fits have so many threads, and FitTimeout is raised after so many seconds.

    To be entered after make_learner: the threads are limited of libraries that are loaded alone.
    """
    with threadpool_limits(budget.threads):
        _start_timer(budget.timeout_seconds)
        try:
            yield
        finally:
            _start_timer(0)


def too_long(budget: Train) -> str:
    return f"longer than train.timeout_seconds={budget.timeout_seconds}"


def _start_timer(seconds: float) -> None:
    """FitTimeout is raised after so many seconds; 0 stops the timer."""
    signal.signal(signal.SIGALRM, _raise_timeout)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _raise_timeout(*_: Any) -> None:
    raise FitTimeout
