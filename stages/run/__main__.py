"""`dvc repro` with several cells at once: `python -m stages.run [--jobs N]`.

The cells that are due run in work trees that share the project's cache, each by DVC's own command, in processes that
have imported the libraries before. Their entries of dvc.lock are taken over, and one `dvc repro` here runs what is
left: dvc.lock is as if that had run them all.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from stages.common import params
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.processes import die_with_parent
from stages.compose.surroundings import refuse_while_a_run_is_on
from stages.run import cluster, commands, lock, snapshot
from stages.run.commands import DVC, LOG, due, dvc, reproduce
from stages.run.params import TimeLimit
from stages.run.plan import Queue, Task, in_order, tasks_of, timed_out
from stages.run.progress import Following, Progress
from stages.run.warmth import Warmth

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ANSWER, REPORT = Path("results/answer.txt"), Path("results/report.html")
AROUND = {"guard", "evaluate", "plot"}  # what takes seconds
NEXT = {"smoke": 'make repro OVERRIDES="scale=quick"', "quick": 'make repro OVERRIDES="scale=full"'}  # by scale
SHARE = "git add params.yaml dvc.lock results && git commit, then make share"


def arguments_of_call() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stages.run", description="dvc repro, several cells at once.")
    parser.add_argument("--jobs", type=int, default=n_cores(), help="cells at once; default: all cores")
    parser.add_argument("--ray", metavar="ADDRESS", help="run the cells on this Ray cluster, through the DVC remote")
    parser.add_argument("--gpus", type=float, default=0.0, help="with --ray: of each cell; .5 lets two share one")
    parser.add_argument("--memory", type=float, default=2.0, help="with --ray: GB of each cell; default: 2")
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("--quiet", action="store_true", help="print nothing but errors and the answer")
    loud.add_argument("--verbose", action="store_true", help=f"print DVC's own output as well, which goes to {LOG}")
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        raise InputError(f"--jobs={arguments.jobs}: at least one cell at a time")
    return arguments


def main() -> None:
    arguments = arguments_of_call()
    jobs: int = arguments.jobs
    if arguments.ray:
        cluster.check_committed()
        cluster.check_remote()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say = (lambda _: None) if arguments.quiet else partial(print, flush=True)
    with LOG.open("a", encoding="utf-8") as log:
        take_turns(log)
        refuse_while_a_run_is_on()  # whose half-written dvc.lock would be taken for a broken one
        if mended := lock.mend():
            print(f"run: {mended}", flush=True)
        lock.mend_rwlock()
        lock.mend_run_cache(commands.cache())
        before, retried = due(), retried_now()
        if not before and not retried:
            say("run: nothing has changed")
            print_answer()
            return
        log.truncate(0)
        remote = None if before | retried <= AROUND and not arguments.ray else commands.remote()
        if remote and (done := commands.verify(remote)):
            print(f"run: {done}", flush=True)
        if remote and not arguments.ray:
            say(f"run: looking into the remote {remote} for what is not here")
            commands.fetch(log, say)
            before, retried = due(), retried_now()
        needs_cells = bool(retried or before - AROUND) and not arguments.ray
        with Warmth(params.raw("train.threads"), needs_cells) as warmth, Following(LOG, arguments.verbose):
            say(f"run: DVC's own output goes to {LOG.resolve()}")
            if before:
                reproduce(["subsample"], log)
            if again := sorted(retried_now() - due()):
                say(f"run: again, as of a lower limit or lost from the cache: {', '.join(again)}")
                reproduce(["--force", "--single-item", *again], log, warmth.environment)
            tasks = tasks_now()
            if tasks and arguments.ray:
                on_cluster(tasks, arguments, log, warmth)
            elif len(tasks) > 1 and (
                made := side_by_side(tasks, min(jobs, len(tasks)), log, warmth, arguments.quiet, bool(remote))
            ):
                dvc(["checkout", "--force", *made], log)  # what a full disk left uncached stands in its way
            reproduce(["--pull"] if remote else [], log, warmth.environment)
    if lost := lost_now():
        remedy = "free space on the disk, then run again"
        raise InputError(f"the cache lacks what {lost[0]} made, and {len(lost) - 1} more; see {LOG}; {remedy}")
    say(f"run: done; {len(tasks) + len(again)} cells and tunings were due")
    print_answer()


def print_answer() -> None:
    """What came out, where it is told whole, and the next command that may be of use."""
    print(f"\n{ANSWER.read_text(encoding='utf-8')}The report: {REPORT.resolve()}")
    print(f"Next: {NEXT.get(params.raw('scale.name'), SHARE)}")


def take_turns(log: Any) -> None:
    """Raises InputError where another run goes on here; else no other begins before the end.

    Where the system has no such locks, nothing.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError("another `python -m stages.run` goes on here; wait until it ends, or end it") from None


def timed_out_now() -> list[Task]:
    return timed_out(params.raw("learners"), params.raw("grid.sizes"), params.load(TimeLimit, "train").timeout_seconds)


def retried_now() -> set[str]:
    """What ran into a lower limit, or is lost from the cache."""
    return {task.name for task in timed_out_now()} | set(lost_now())


def lost_now() -> list[str]:
    """Stages of the grid whose recorded outputs the cache does not hold."""
    grid = params.raw("grid")
    cells = [f"train@{learner}-{n}" for learner in grid["learners"] for n in grid["sizes"]]
    names = ["prepare", "subsample", *(f"tune@{learner}" for learner in grid["learners"]), *cells]
    return lock.lost(commands.cache(), names)


def tasks_now() -> list[Task]:
    grid = params.raw("grid")
    return tasks_of(due(), params.raw("learners"), grid["sizes"], params.raw("scale.tuning_rows"))


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


def side_by_side(
    tasks: list[Task], n_workers: int, log: Any, warmth: Warmth, is_quiet: bool, can_pull: bool
) -> list[str]:
    """All tasks, in so many work trees; which were made. Whatever ends it, finished cells are in the cache."""
    queue = Queue(tasks, n_workers)
    learners = {task.learner for task in tasks}
    tuned = sorted(learners - set(queue.tunings))
    trees = snapshot.work_trees(snapshot.commit_of_work_tree(), n_workers, tuned)
    workers = [Worker(tree, queue, warmth.environment, log, can_pull) for tree in trees]
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

    def __init__(self, tree: Path, queue: Queue, environment: dict[str, str], log: Any, can_pull: bool):
        super().__init__(daemon=True)
        self.tree, self.queue, self.environment, self.log = tree, queue, environment, log
        self.options = ["--single-item", "--keep-going", *(["--pull"] if can_pull else [])]
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
            [*DVC, "repro", *self.options, *names], cwd=self.tree, env=self.environment,
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
