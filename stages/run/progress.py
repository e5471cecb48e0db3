"""One line that says how far it is, and what DVC says besides."""

import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from threading import Event, Thread

from stages.run.plan import Task

SECONDS = 30.0  # between two lines where there is no terminal
BAR = 20  # letters


class Progress:
    """Cells done and running, elapsed, and when it should end: a bar that is rewritten on a terminal, plain lines
    elsewhere, nothing where it is to be quiet."""

    def __init__(self, tasks: Sequence[Task], is_quiet: bool = False):
        self.tasks, self.is_quiet = tasks, is_quiet
        self.started = self.shown = time.monotonic()
        self.stream = sys.stdout  # also where that is another one meanwhile
        self.is_terminal = self.stream.isatty()

    def show(self, names_done: Collection[str], running: Collection[str] = (), is_last: bool = False) -> None:
        """running: names of tasks under way, half of which counts as done."""
        now = time.monotonic()
        if self.is_quiet or (not is_last and not self.is_terminal and now - self.shown < SECONDS):
            return
        self.shown = now
        done = [task for task in self.tasks if task.name in names_done]
        half = sum(task.cost for task in self.tasks if task.name in running) / 2
        elapsed, share = now - self.started, (sum(t.cost for t in done) + half) / sum(t.cost for t in self.tasks)
        left = f", about {_clock(elapsed * (1 / share - 1))} left" if 0 < share < 1 and not is_last else ""
        under_way = f", {len(running)} running" if running and not is_last else ""
        line = f"{len(done)} of {len(self.tasks)} cells and tunings{under_way}, {_clock(elapsed)}{left}"
        if self.is_terminal:
            bar = "#" * int(BAR * share)
            print(f"\r[{bar:-<{BAR}}] {line:<56}", end="\n" if is_last else "", file=self.stream, flush=True)
        else:
            print(f"run: {line}", file=self.stream, flush=True)


class Following:
    """Prints what is written to a log, for as long as it is entered."""

    def __init__(self, path: Path, is_on: bool):
        self.path, self.is_on, self.is_over = path, is_on, Event()

    def __enter__(self) -> "Following":
        if self.is_on:
            self.thread = Thread(target=self._follow, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_on:
            self.is_over.set()
            self.thread.join()

    def _follow(self) -> None:
        with self.path.open(encoding="utf-8", errors="replace") as log:
            while True:
                is_over = self.is_over.is_set()  # asked before the last look
                print(log.read(), end="", flush=True)
                if is_over:
                    return
                time.sleep(0.2)


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02}"
