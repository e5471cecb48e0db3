"""One line that says how far it is."""

import sys
import time
from collections.abc import Collection, Sequence

from stages.run.plan import Task

SECONDS = 30.0  # between two lines where there is no terminal


class Progress:
    """Cells done, elapsed, and when it should end: a line that is rewritten on a terminal, plain lines elsewhere."""

    def __init__(self, tasks: Sequence[Task]):
        self.tasks = tasks
        self.started = self.shown = time.monotonic()
        self.stream = sys.stdout  # also where that is another one meanwhile
        self.is_terminal = self.stream.isatty()

    def show(self, names_done: Collection[str], is_last: bool = False) -> None:
        now = time.monotonic()
        if not is_last and not self.is_terminal and now - self.shown < SECONDS:
            return
        self.shown = now
        done = [task for task in self.tasks if task.name in names_done]
        elapsed, share = now - self.started, sum(t.cost for t in done) / sum(t.cost for t in self.tasks)
        left = f", about {_clock(elapsed * (1 / share - 1))} left" if 0 < share < 1 and not is_last else ""
        line = f"run: {len(done)} of {len(self.tasks)} cells and tunings, {_clock(elapsed)}{left}"
        if self.is_terminal:
            print(f"\r{line:<78}", end="\n" if is_last else "", file=self.stream, flush=True)
        else:
            print(line, file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02}"
