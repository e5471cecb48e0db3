"""`dvc repro` with several cells at once: `python -m stages.run [--jobs N]`.

The cells that are due run in work trees that share the project's cache, each by DVC's own command, in processes that
have imported the libraries before. Their entries of dvc.lock are taken over, and one `dvc repro` here runs what is
left: dvc.lock is as if that had run them all.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from stages.common import params
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.processes import die_with_parent
from stages.run import cluster, snapshot
from stages.run.params import TimeLimit
from stages.run.plan import Queue, Task, in_order, tasks_of, timed_out
from stages.run.progress import Following, Progress
from stages.run.warmth import Warmth

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOG = Path("run.log")
ANSWER, REPORT = Path("results/answer.txt"), Path("results/report.html")
NEXT = {"smoke": 'make repro OVERRIDES="scale=quick"', "quick": 'make repro OVERRIDES="scale=full"'}  # by scale
SHARE = "git add params.yaml dvc.lock results && git commit, then dvc push"
DVC = [sys.executable, "-m", "dvc"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.run", description="dvc repro, several cells at once.")
    parser.add_argument("--jobs", type=int, default=n_cores(), help="cells at once; default: all cores")
    parser.add_argument("--ray", metavar="ADDRESS", help="run the cells on this Ray cluster, through the DVC remote")
    parser.add_argument("--gpus", type=float, default=0.0, help="with --ray: of each cell; .5 lets two share one")
    parser.add_argument("--memory", type=float, default=2.0, help="with --ray: GB of each cell; default: 2")
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("--quiet", action="store_true", help="print nothing but errors and the answer")
    loud.add_argument("--verbose", action="store_true", help=f"print DVC's own output as well, which goes to {LOG}")
    arguments = parser.parse_args()
    jobs: int = arguments.jobs
    if jobs < 1:
        raise InputError(f"--jobs={jobs}: at least one cell at a time")
    if arguments.ray:
        cluster.check_committed()
        cluster.check_remote()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before, retried = due(), {task.name for task in timed_out_now()}
    say = (lambda _: None) if arguments.quiet else partial(print, flush=True)
    if not before and not retried:
        say("run: nothing has changed")
        print_answer()
        return
    needs_cells = bool(retried or before - {"guard", "evaluate", "plot"}) and not arguments.ray
    with LOG.open("a", encoding="utf-8") as log:
        take_turns(log)
        with Warmth(params.raw("train.threads"), needs_cells) as warmth, Following(LOG, arguments.verbose):
            say(f"run: DVC's own output goes to {LOG.resolve()}")
            if before:
                reproduce(["subsample"], log)
            if again := sorted(retried - due()):
                say(f"run: trying again what ran into a lower limit: {', '.join(again)}")
                reproduce(["--force", "--single-item", *again], log, warmth.environment)
            tasks = tasks_now()
            if tasks and arguments.ray:
                on_cluster(tasks, arguments, log, warmth)
            elif len(tasks) > 1 and (made := side_by_side(tasks, min(jobs, len(tasks)), log, warmth, arguments.quiet)):
                dvc(["checkout", *made], log)
            reproduce(["--pull"] if arguments.ray else [], log, warmth.environment)
    say(f"run: done; {len(tasks) + len(again)} cells and tunings were due")
    print_answer()


def print_answer() -> None:
    """What came out, where it is told whole, and the next command that may be of use."""
    print(f"\n{ANSWER.read_text(encoding='utf-8')}The report: {REPORT.resolve()}")
    print(f"Next: {NEXT.get(params.raw('scale.name'), SHARE)}")


def take_turns(log: Any) -> None:
    """Raises InputError where another run goes on here; else the log begins anew, and no other run does before the end.

    Where the system has no such locks, nothing.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError("another `python -m stages.run` goes on here; wait until it ends, or end it") from None
    log.truncate(0)


def due() -> set[str]:
    """The stages that DVC would run."""
    status = partial(subprocess.run, [*DVC, "status", "--json"], capture_output=True, text=True, check=False)
    done = status()
    if done.returncode and snapshot.mend_lock():
        done = status()
    if done.returncode:
        raise InputError(f"`dvc status` failed: {(done.stderr.strip() or done.stdout).splitlines()[-1]}")
    return set(json.loads(done.stdout or "{}"))


def timed_out_now() -> list[Task]:
    return timed_out(params.raw("learners"), params.raw("grid.sizes"), params.load(TimeLimit, "train").timeout_seconds)


def tasks_now() -> list[Task]:
    grid = params.raw("grid")
    return tasks_of(due(), params.raw("learners"), grid["sizes"], params.raw("scale.tuning_rows"))


def reproduce(arguments: Sequence[str], log: Any, environment: dict[str, str] | None = None) -> None:
    dvc(["repro", *arguments], log, environment)


def dvc(arguments: Sequence[str], log: Any, environment: dict[str, str] | None = None) -> None:
    """DVC's command here; raises InputError with its own line where it fails."""
    start = LOG.stat().st_size
    snapshot.keep_lock()
    try:
        done = subprocess.run([*DVC, *arguments], stdout=log, stderr=subprocess.STDOUT, env=environment, check=False)
    except BaseException:  # of which this process ends, and DVC with it
        snapshot.mend_lock()
        raise
    if done.returncode:
        log.flush()
        with LOG.open(encoding="utf-8") as file:
            file.seek(start)
            told = [line for line in file.read().splitlines() if line.startswith(("error:", "ERROR:"))]
        raise InputError(f"`dvc {arguments[0]}` failed: {told[0] if told else 'see ' + str(LOG)}")


def n_cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_cluster(tasks: list[Task], arguments: argparse.Namespace, log: Any, warmth: Warmth) -> None:
    """All tasks on a Ray cluster; what they depend on is in the remote before, what they made after."""
    asked = cluster.Asked(params.raw("train.threads"), arguments.gpus, arguments.memory)
    ray = cluster.connected(arguments.ray, asked)
    dvc(["push", "--run-cache", "guard", "prepare", "subsample"], log)
    progress = Progress(tasks, arguments.quiet)
    with redirect_stdout(log), redirect_stderr(log):  # where ray tells of lost nodes
        cluster.run_on(ray, tasks, asked, warmth.of_cells, progress)
    dvc(["fetch", "--run-cache"], log)


def side_by_side(tasks: list[Task], n_workers: int, log: Any, warmth: Warmth, is_quiet: bool) -> list[str]:
    """All tasks, in so many work trees; which were made. Whatever ends it, finished cells are in the cache."""
    queue = Queue(tasks, n_workers)
    learners = {task.learner for task in tasks}
    tuned = sorted(learners - set(queue.tunings))
    trees = snapshot.work_trees(snapshot.commit_of_work_tree(), n_workers, tuned)
    workers = [Worker(tree, queue, warmth.environment, log) for tree in trees]
    progress = Progress(tasks, is_quiet)

    def done() -> set[str]:
        return {task.name for task in tasks if any((tree / task.timing).is_file() for tree in trees)}

    try:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            names = done()
            progress.show(names, [name for worker in workers if (name := worker.current(names))])
            time.sleep(0.5)
        progress.show(done(), is_last=True)
        return snapshot.take_over([task.name for task in in_order(tasks)], trees)
    finally:
        for worker in workers:
            worker.stop()
        snapshot.remove_work_trees()


class Worker(Thread):
    """Runs batches of the queue in a work tree."""

    def __init__(self, tree: Path, queue: Queue, environment: dict[str, str], log: Any):
        super().__init__(daemon=True)
        self.tree, self.queue, self.environment, self.log = tree, queue, environment, log
        self.process: subprocess.Popen[bytes] | None = None
        self.batch: list[Task] = []
        self.is_stopped = False

    def run(self) -> None:
        while not self.is_stopped and (batch := self.queue.take()):
            try:
                self.work(batch)
            finally:
                self.queue.finish(batch)

    def current(self, names_done: set[str]) -> str | None:
        """The task under way, of which DVC runs the batch's one after the other."""
        return next((task.name for task in self.batch if task.name not in names_done), None)

    def work(self, batch: list[Task]) -> None:
        self.batch = batch
        before = [self.queue.tunings[task.learner].name for task in batch
                  if task.n_train is not None and task.learner in self.queue.tunings]  # fmt: skip
        names = list(dict.fromkeys([*before, *(task.name for task in batch)]))
        self.process = subprocess.Popen(
            [*DVC, "repro", "--single-item", "--keep-going", *names], cwd=self.tree, env=self.environment,
            stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        self.process.wait()

    def stop(self) -> None:
        """Ends what it runs, and all processes of it."""
        self.is_stopped = True
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)


if __name__ == "__main__":
    run(main)
