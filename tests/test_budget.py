"""The label budget that all learners share."""

from dataclasses import replace

import numpy as np
import pytest

from stages.common.errors import InputError
from stages.common.features import tables
from stages.train import params
from stages.train.budget import Choice, Pool, Replicate, compete, fit_chosen, held_out, latest, tune_and_fit
from stages.train.jobs import Draw, Job, Record, TooFewRows
from tests.learners import BUDGET


class Spy:
    """A learner that records the jobs it gets; the setting at `best` has the lowest loss."""

    def __init__(self, best: int):
        self.best = best
        self.calls: list[list[Job]] = []
        self.rows: list[set[int]] = []  # of each replicate
        self.prefixes: list[set[int]] = []
        self.refitted: list[Job] = []

    def fit(self, jobs):
        self.calls.append(jobs)
        settings = list(dict.fromkeys(job.setting for job in jobs))
        return [
            Record(
                "ok", "", 0.1, 0.2 if settings.index(job.setting) == self.best or len(settings) == 1 else 0.3, 1, 1, 1
            )
            for job in jobs
        ]

    def refit(self, jobs):
        self.refitted = [self.calls[-1][job] for job in jobs]
        return [Record("ok", "", 0.1, 0.2, 1, 1, 1) for _ in jobs]

    def predict_proba(self, features, jobs):
        assert len(jobs) == len(self.refitted)
        return np.full((len(jobs), len(features), 2), 0.5, np.float32)


def spied(n: int, tuning_rows: int, groups: np.ndarray | None = None) -> Spy:
    rng = np.random.default_rng(0)
    features = tables(np.arange(1000, dtype=np.float32)[:, None])
    pool = Pool(features, rng.integers(2, size=1000), groups)
    replicates = [Replicate(i, i, rng.permutation(1000)[:n], seed=i) for i in range(3)]
    spy = Spy(best=1)
    settings = [params.LogisticRegressionSetting(C=c) for c in (1.0, 2.0, 3.0)]
    if n <= tuning_rows:
        choices, _, _ = tune_and_fit(spy, replicates, pool, settings[:2], BUDGET, features[:5])
    else:
        prefixes = [replace(replicate, rows=replicate.rows[:tuning_rows]) for replicate in replicates]
        choices = compete(spy, prefixes, pool, settings[:2], BUDGET).choices
        fit_chosen(spy, replicates, pool, choices, BUDGET, features[:5])
    assert all(choice.setting == settings[1] for choice in choices)
    spy.rows = [set(r.rows) for r in replicates]
    spy.prefixes = [set(r.rows[:tuning_rows]) for r in replicates]
    return spy


def rows_of(draw: Draw) -> tuple[set[int], set[int]]:
    fit, held = (set(rows.blocks["numeric"][:, 0].astype(int)) for rows in (draw.fit, draw.validation))
    return fit, held


def test_only_the_n_labels_are_used_and_a_fifth_of_them_is_held_out():
    spy = spied(n=200, tuning_rows=500)
    (jobs,) = spy.calls  # with n at most tuning_rows one call fits and tunes
    assert len(jobs) == 3 * 2  # replicates x n_settings
    for i, job in enumerate(jobs):
        fit, held = rows_of(job.draw)
        assert fit | held == spy.rows[i // 2]
        assert not fit & held
        assert len(held) == 40
    assert spy.refitted == jobs[1::2]  # the choice is fitted again


def test_beyond_tuning_rows_the_settings_compete_on_the_prefix_and_the_choice_is_fitted_on_all_rows():
    spy = spied(n=400, tuning_rows=100)
    tuned, final = spy.calls
    assert [len(tuned), len(final)] == [6, 3]
    for i, job in enumerate(tuned):
        fit, held = rows_of(job.draw)
        assert fit | held == spy.prefixes[i // 2]
    for i, job in enumerate(final):
        fit, held = rows_of(job.draw)
        assert fit | held == spy.rows[i]
        assert len(held) == 80
        assert job.setting == params.LogisticRegressionSetting(C=2.0)
    assert spy.refitted == final


def test_crossed_initialisations_take_the_choice_of_their_draw():
    features = tables(np.arange(300, dtype=np.float32)[:, None])
    pool = Pool(features, np.arange(300) % 2, None)
    settings = [params.LogisticRegressionSetting(C=c) for c in (1.0, 2.0)]
    choices = [Choice(i, settings[i], [0.1, 0.1]) for i in (1, 0)]
    spy = Spy(best=0)
    pairs = [(0, 0), (1, 1), (0, 1), (1, 0)]
    replicates = [Replicate(draw, init, np.arange(100) + 100 * draw, seed=init) for draw, init in pairs]
    fit_chosen(spy, replicates, pool, choices, BUDGET, features[:5])
    assert [job.setting for job in spy.calls[0]] == [settings[1], settings[0], settings[1], settings[0]]


def test_no_group_stands_on_both_sides_of_the_held_out_rows():
    groups = np.random.default_rng(1).integers(50, size=1000)
    spy = spied(n=400, tuning_rows=100, groups=groups)
    for call in spy.calls:
        for job in call:
            fit, held = rows_of(job.draw)
            assert not set(groups[list(fit)]) & set(groups[list(held)])
            n = len(fit) + len(held)
            assert n // 5 <= len(held) < n // 5 + 60


def test_held_out_rows_are_capped():
    budget = BUDGET.model_copy(update={"validation_rows": 16})
    assert held_out(1000, None, budget).sum() == 16
    assert held_out(1000, None, BUDGET).sum() == 200


def test_with_times_the_latest_rows_are_held_out_those_of_one_moment_together():
    times = np.random.default_rng(0).permutation(np.repeat(np.arange(50), 4))
    held = latest(times, BUDGET)
    assert times[held].min() == 40
    assert times[~held].max() == 39
    with pytest.raises(TooFewRows, match="all rows are of one moment"):
        latest(np.zeros(100, np.int64), BUDGET)


def test_too_few_groups_to_hold_one_out_are_refused():
    with pytest.raises(InputError, match=r"n_train=100: 1 groups are too few .* raise scale.sizes"):
        held_out(100, np.zeros(100, np.int64), BUDGET)
