"""What the curves do beside rising: the last step, where they cross, where they turn for the worse."""

from itertools import combinations

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
            steps.append({"learner": learner, "from": before[1], "to": after[1],
                          "gain": gain.mean, "low": low, "high": high})  # fmt: skip
    return steps


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
