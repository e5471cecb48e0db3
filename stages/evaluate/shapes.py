"""What the curves do beside rising: the last step, where they cross, where they turn for the worse."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

from stages.common.artefacts import Json
from stages.evaluate.estimates import holm
from stages.evaluate.study import Study
from stages.evaluate.sums import Array


def last_steps(study: Study, confidence: float) -> list[Json]:
    """What the last step in data brought each learner for each doubling of the labels, with its interval."""
    steps: list[Json] = []
    if len(study.sizes) < 2:
        return steps
    for learner in study.learners:
        before, after = ((learner, n) for n in study.sizes[-2:])
        doublings = float(np.log2(after[1] / before[1]))
        gain = study.estimate({after: 1 / doublings, before: -1 / doublings})
        if gain.n_replicates >= 2 and np.isfinite(gain.standard_error):
            low, high = gain.interval(confidence)
            low80, high80 = gain.interval(0.8)  # beside forecasts, which have such intervals
            steps.append({"learner": learner, "from": before[1], "to": after[1], "gain": gain.mean, "low": low,
                          "high": high, "low80": low80, "high80": high80})  # fmt: skip
    return steps


def leads(study: Study, confidence: float) -> Json:
    """Of every size the learner with the best mean, and whether it is certainly better than each other one
    (intersection-union); nothing for a size where fewer than two learners have a usable fit."""
    found: Json = {}
    means = study.means()
    for n in study.sizes:
        here = sorted((name for name in study.learners if (name, n) in means), key=lambda name: -means[name, n])
        if len(here) > 1:
            gains = [study.estimate({(here[0], n): 1, (name, n): -1}) for name in here[1:]]
            p = max(gain.p_above(0) if gain.n_replicates > 1 else 1.0 for gain in gains)
            found[str(n)] = {"learner": here[0], "is_certain": p <= 1 - confidence}
    return found


def replicates(study: Study) -> Json:
    """The values of each learner's usable replicates by size, in units of the metric."""
    return {
        learner: {str(n): [round(study.metric.signed(float(v)), 6) for v in study.cells[learner, n].values
                           if np.isfinite(v)] for n in study.sizes if (learner, n) in study.cells}
        for learner in study.learners
    }  # fmt: skip


def overtakes(study: Study, confidence: float) -> list[Json]:
    """From which number of labels on each network stays above each other learner.

    Between sizes the difference is a line in log n. `probability`: the share of resamples in which the network is above
    at the largest size; the others have no overtaking within the sizes. `n_labels`, `low`, `high`: quantiles over all
    resamples, None where they lie beyond the largest size; `low` and `n_labels` may be the smallest size, from where on
    the network then leads.
    """
    overtaken: list[Json] = []
    resamples = study.resamples
    for network in study.learners:
        for other in study.learners:
            if network not in study.networks or other in study.networks:
                continue
            sizes = [n for n in study.sizes if (network, n) in resamples and (other, n) in resamples]
            if len(sizes) < 2:
                continue
            lead = np.stack([resamples[network, n] - resamples[other, n] for n in sizes])
            places = _last_rise(np.log(sizes), lead)
            tails = ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
            low, middle, high = (_labels(float(q)) for q in np.quantile(places, tails, method="inverted_cdf"))
            overtaken.append({"network": network, "other": other, "probability": float(np.isfinite(places).mean()),
                          "n_labels": middle, "low": low, "high": high, "smallest": sizes[0],
                          "largest": sizes[-1]})  # fmt: skip
    return overtaken


def equal_quality(study: Study, simple: str, networks: Sequence[str], confidence: float) -> list[Json]:
    """How many labels each learner needs to be as good as the simple one is at its best, and each network to be as good
    as the next larger one is at its.

    `of`: whose best cell, with `of_n_train` labels and `value` in the mean; `n_labels`, `low`, `high`: from where on
    the learner's curve, a line in log n between sizes, stays above it in that share of the joint resamples, the
    smallest size where it lies above it everywhere, None beyond its largest size. `times`, `times_low`, `times_high`:
    what one label is worth, of_n_train / n_labels, None likewise.
    """
    known = [name for name in networks if any(cell[0] == name for cell in study.resamples)]
    pairs = [(name, simple) for name in study.learners if name != simple] + list(pairwise(known))
    return [found for learner, of in pairs if (found := _equal_quality(study, learner, of, confidence))]


def _equal_quality(study: Study, learner: str, of: str, confidence: float) -> Json | None:
    resamples, means = study.resamples, study.means()
    best = max((cell for cell in resamples if cell[0] == of), key=lambda cell: means[cell], default=None)
    sizes = [n for n in study.sizes if (learner, n) in resamples]
    if best is None or len(sizes) < 2:
        return None
    lead = np.stack([resamples[learner, n] - resamples[best] for n in sizes])
    places = _last_rise(np.log(sizes), lead)
    tails = ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
    low, middle, high = (_labels(float(q)) for q in np.quantile(places, tails, method="inverted_cdf"))
    times = {name: best[1] / n if n else None for name, n in zip(("times_high", "times", "times_low"),
                                                                 (low, middle, high), strict=True)}  # fmt: skip
    return times | {"learner": learner, "of": of, "of_n_train": best[1], "value": study.metric.signed(means[best]),
                    "n_labels": middle, "low": low, "high": high, "smallest": sizes[0],
                    "largest": sizes[-1]}  # fmt: skip


def _last_rise(log_sizes: Array, lead: Array) -> Array:
    """Where each column of lead (n_sizes, n_resamples) last rises through 0; infinite where it ends below."""
    places = np.full(lead.shape[1], np.inf)
    is_above = lead > 0
    places[is_above.all(axis=0)] = log_sizes[0]
    for i in range(len(log_sizes) - 1):
        rises = ~is_above[i] & is_above[i + 1 :].all(axis=0)
        share = -lead[i, rises] / (lead[i + 1, rises] - lead[i, rises])
        places[rises] = log_sizes[i] + share * (log_sizes[i + 1] - log_sizes[i])
    return places


def _labels(log_size: float) -> int | None:
    return round(float(np.exp(log_size))) if np.isfinite(log_size) else None


def ill_behaved(study: Study, alpha: float) -> list[Json]:
    """Learners that clearly get worse with more data, or peak: worse first, then better (LCDB 1.1, Yan et al. 2025).

    Paired one-sided tests of all pairs of sizes of all learners, for either direction, with Holm's correction over all
    of them.
    """
    gains = {}
    for learner in study.learners:
        sizes = [n for n in study.sizes if study.is_known((learner, n))]
        for small, large in combinations(sizes, 2):
            gains[learner, small, large] = study.estimate({(learner, large): 1, (learner, small): -1})
    worse = {(*pair, "worse"): gain.p_below(0) for pair, gain in gains.items()}
    better = {(*pair, "better"): gain.p_above(0) for pair, gain in gains.items()}
    adjusted = holm(worse | better)
    certain = {key for key, p in adjusted.items() if p <= alpha}
    curves: list[Json] = []
    for learner in study.learners:
        falls = [(a, b) for name, a, b in gains if name == learner and (learner, a, b, "worse") in certain]
        if not falls:
            continue
        peaks = [(a, b, c) for a, b in falls for c in study.sizes if (learner, b, c, "better") in certain]
        start, end = min(falls, key=lambda pair: gains[learner, *pair].mean)
        recovery = min((c for _, b, c in peaks if b == end), default=None)
        curves.append({
            "learner": learner, "shape": "peak" if peaks else "worse with more data", "from": start, "to": end,
            "loss": -gains[learner, start, end].mean, "p": adjusted[learner, start, end, "worse"],
            "recovers_at": recovery,
        })  # fmt: skip
    return curves
