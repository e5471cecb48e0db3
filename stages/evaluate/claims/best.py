"""Which cell is the best: with both scales, and with a million examples."""

from collections.abc import Mapping

import numpy as np
from scipy.special import ndtri

from stages.contract.claims import Claim
from stages.evaluate.claims.verdicts import claim, missing, named, verdict
from stages.evaluate.estimates import Estimate
from stages.evaluate.params import Claims
from stages.evaluate.study import Study
from stages.evaluate.sums import Array, CellName

MILLION = 1_000_000
N_SIMULTANEOUS = 4000  # draws of the largest of several differences


def both_scales(study: Study, rules: Claims) -> Claim:
    """Is the largest network with the most data better than every other cell, or is some other cell better than it?

    Supported where it is better than each of them in paired tests (intersection-union, Berger 1982). Refuted where the
    clearest lead of another cell is beyond what the largest of so many reaches by chance (max-t: simultaneous
    comparisons with one, Hsu 1996), of those that are not clearly worse. Ties refute nothing. The probability of being
    the best cell is told beside it.
    """
    resamples = study.resamples
    corner = (rules.networks[-1] if rules.networks else "", study.sizes[-1])
    if corner not in resamples:
        return claim("both_scales", "not tested", f"no usable cell {corner[0] or 'of a network'}-{corner[1]}")
    if len({name for name, _ in resamples}) < 2 or len({n for _, n in resamples}) < 2:
        return claim("both_scales", "not tested", "fewer than two sizes or two learners with usable cells")
    rivals = [name for name in study.cells if name != corner]
    others = [name for name in rivals if not missing(study, [corner, name])]
    if not others:
        return claim("both_scales", "not tested", f"no cell has two replicates in common with {corner[0]}-{corner[1]}")
    apart = [name for name in rivals if name not in others]
    leads = {name: study.estimate({corner: 1, name: -1}) for name in others}
    p_supported = 1.0 if apart else max(lead.p_above(study.smallest_gain) for lead in leads.values())
    p_refuted = _simultaneous(study, corner, leads, study.smallest_gain, rules.alpha)
    share, shares = _best_of(resamples, corner)
    nearest = min(leads, key=lambda name: leads[name].mean)
    low, high = leads[nearest].interval(1 - 2 * rules.alpha)
    top = next(iter(shares), "")
    reason = (
        f"{corner[0]}-{corner[1]} is {leads[nearest].mean:+.4f} [{low:+.4f}, {high:+.4f}] against the best other cell, "
        f"{nearest[0]}-{nearest[1]}, and the best of all with probability {share:.3f}"
    )
    reason += f"; the most probable best cell is {top} ({shares[top]:.3f})" if top != f"{corner[0]}-{corner[1]}" else ""
    reason += f"; {named(apart)} cannot be compared with it: too few replicates in common" if apart else ""
    return claim(
        "both_scales", verdict(p_supported, p_refuted, rules.alpha), reason, leads[nearest].mean, low, high,
        p_supported, p_refuted, cell=corner, probability=share, probability_of_best=shares,
        margin=study.smallest_gain, test="intersection-union; max-t to refute",
    )  # fmt: skip


def _best_of(resamples: Mapping[CellName, Array], cell: CellName) -> tuple[float, dict[str, float]]:
    """In which share of resamples the cell is the best, and that of every cell for which it is .01 or more."""
    names = list(resamples)
    drawn = np.stack([resamples[name] for name in names])  # (n_cells, n_resamples)
    best_of = np.bincount(drawn.argmax(axis=0), minlength=len(names)) / drawn.shape[1]
    shares = {f"{names[i][0]}-{names[i][1]}": float(best_of[i]) for i in np.argsort(-best_of) if best_of[i] >= 0.01}
    return float(best_of[names.index(cell)]), shares


def _simultaneous(
    study: Study, control: CellName, leads: Mapping[CellName, Estimate], margin: float, alpha: float
) -> float:
    """p value of: no cell is above the control by more than the margin, adjusted for their number and what they share.

    leads: of the control over each other cell. Their p values count as normal deviates; the largest of so many has the
    correlations of the differences, which have the control's replicates in common, and the test rows with it and with
    each other. Cells that are clearly not above by the margin, with a tenth of alpha to err in any, need no correction
    (the two steps of Romano, Shaikh and Wolf 2014).
    """
    names = list(leads)
    replicate_variance = np.array([study.estimate({name: 1}).replicate_variance for name in [control, *names]])
    of_cells = study.test_covariance([control, *names]) + np.diag(replicate_variance)
    differences = np.hstack([-np.ones((len(names), 1)), np.eye(len(names))])
    covariance = differences @ of_cells @ differences.T
    deviations = np.sqrt(np.maximum(np.diag(covariance), 1e-30))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviations, deviations))
    root = vectors * np.sqrt(np.maximum(values, 0))
    drawn = np.random.default_rng(0).normal(size=(N_SIMULTANEOUS, len(names))) @ root.T
    deviates = -ndtri(np.clip([lead.p_below(-margin) for lead in leads.values()], 1e-15, 1 - 1e-15))
    of_choice = alpha / 10
    is_possible = -deviates <= np.quantile(drawn.max(axis=1), 1 - of_choice)
    if not is_possible.any():
        return 1.0
    n_beyond = int((drawn[:, is_possible].max(axis=1) >= deviates[is_possible].max()).sum())
    return min(1.0, of_choice + (1 + n_beyond) / (1 + N_SIMULTANEOUS))


def million(study: Study, rules: Claims) -> Claim:
    """With the most data, and a million examples at least: is some network above every traditional learner?"""
    n_train = study.sizes[-1]
    if n_train < MILLION:
        return claim("million", "not tested", f"the largest size is {n_train:,} labels, fewer than a million")
    usable = [name for name in study.learners if not missing(study, [(name, n_train)])]
    unknown = set(study.learners) - set(usable)  # cells that failed, or of one replicate: they may be anywhere
    networks = [name for name in usable if name in study.networks]
    others = [name for name in usable if name not in study.networks]
    if not networks or not others:
        return claim("million", "not tested", f"no usable network or no usable other learner with {n_train:,} labels")
    pairs = [(a, b) for a in networks for b in others]
    if apart := [pair for pair in pairs if missing(study, [(name, n_train) for name in pair])]:
        return claim("million", "not tested", missing(study, [(name, n_train) for name in apart[0]]))
    gains = {(a, b): study.estimate({(a, n_train): 1, (b, n_train): -1}) for a, b in pairs}
    above = {a: max(gains[a, b].p_above(study.smallest_gain) for b in others) for a in networks}
    below = {b: max(gains[a, b].p_below(study.smallest_gain) for a in networks) for b in others}
    p_supported = 1.0 if unknown - study.networks else min(1.0, len(networks) * min(above.values()))
    p_refuted = 1.0 if unknown & study.networks else min(1.0, len(others) * min(below.values()))
    means = study.means()
    a, b = (max(names, key=lambda name: means[name, n_train]) for names in (networks, others))
    low, high = gains[a, b].interval(1 - 2 * rules.alpha)
    reason = (
        f"with {n_train:,} labels the best network, {a}, is {gains[a, b].mean:+.4f} [{low:+.4f}, {high:+.4f}] "
        f"against the best other learner, {b}"
    )
    reason += f"; {', '.join(sorted(unknown))} cannot be compared" if unknown else ""
    return claim(
        "million", verdict(p_supported, p_refuted, rules.alpha), reason, gains[a, b].mean, low, high,
        p_supported, p_refuted, n_train=n_train, network=a, other=b, margin=study.smallest_gain, test="paired",
    )  # fmt: skip
