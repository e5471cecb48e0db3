"""Is the order with little data another one?"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import kendalltau

from stages.contract.claims import Claim, Engineered
from stages.evaluate.claims.verdicts import claim, missing, verdict
from stages.evaluate.estimates import Estimate, holm
from stages.evaluate.params import Claims
from stages.evaluate.study import Study

Pairs = Mapping[tuple[str, str], float]


def small_data(study: Study, rules: Claims) -> Claim:
    """Is it clear that the order at the smallest size is another than at the largest, or that engineered features
    decide?

    Kendall's tau between the two rankings lies in an interval: pairs of learners whose order clearly reverses count
    as discordant, pairs whose order clearly stays as concordant, the others as either. Clearly: at both sizes by paired
    tests, with Holm's correction over pairs. Supported where all of the interval lies below `settled_tau`, refuted
    where none of it does.
    """
    first, last = study.sizes[0], study.sizes[-1]
    learners = [name for name in study.learners if not missing(study, [(name, first), (name, last)])]
    n_pairs = len(learners) * (len(learners) - 1) // 2
    if first == last or not n_pairs:
        return claim("small_data", "not tested", "fewer than two sizes or two learners with usable cells")
    p_reversed, p_kept = _pairs(study, learners)
    tau_high = 1 - 2 * sum(p <= rules.alpha for p in p_reversed.values()) / n_pairs
    tau_low = 2 * sum(p <= rules.alpha for p in p_kept.values()) / n_pairs - 1
    # So many pairs must reverse, or stay, for tau to lie on one side of the limit.
    n_reversed = int(np.floor((1 - rules.settled_tau) / 2 * n_pairs + 1e-9)) + 1
    n_kept = int(np.ceil((1 + rules.settled_tau) / 2 * n_pairs - 1e-9))
    engineered = _engineered(study, rules)
    tests = {"order": _kth(p_reversed.values(), n_reversed)}
    tests |= {f"{found.engineered} against {found.raw}": p for found, p in engineered}
    p_supported, p_refuted = min(holm(tests).values()), _kth(p_kept.values(), n_kept)
    early, late, tau, curve = _orders(study, learners)
    reason = (
        f"Kendall's tau between the orders at {first:,} and {last:,} labels is {tau:.2f} "
        f"[{tau_low:.2f}, {tau_high:.2f}], settled from {rules.settled_tau:g} up; "
        f"{early[0]} leads at {first:,}, {late[0]} at {last:,}"
    )
    reason += "".join(
        f"; {e.engineered} is {e.gain:+.4f} [{e.low:+.4f}, {e.high:+.4f}] against {e.raw}" for e, _ in engineered
    )
    return claim(
        "small_data", verdict(p_supported, p_refuted, rules.alpha), reason, tau, tau_low, tau_high, p_supported,
        p_refuted, n_train=first, settled_tau=rules.settled_tau, order=early, final_order=late, tau_by_size=curve,
        engineered=[found for found, _ in engineered], test="pairs certain at both sizes, Holm",
    )  # fmt: skip


def _pairs(study: Study, learners: Sequence[str]) -> tuple[Pairs, Pairs]:
    """p values, adjusted over pairs of learners, of: their order reverses from the first size to the last; it stays."""
    p_reversed, p_kept = {}, {}
    for a, b in combinations(learners, 2):
        early, late = (_sides(study.estimate({(a, n): 1, (b, n): -1})) for n in (study.sizes[0], study.sizes[-1]))
        p_reversed[a, b] = _either(early, late, opposite=True)
        p_kept[a, b] = _either(early, late, opposite=False)
    return holm(p_reversed), holm(p_kept)


def _engineered(study: Study, rules: Claims) -> list[tuple[Engineered, float]]:
    """What engineered features brought at the smallest size, and the p value of: more than the smallest gain."""
    found, first = [], study.sizes[0]
    for refined, raw in rules.engineered:
        if not missing(study, [(refined, first), (raw, first)]):
            gain = study.estimate({(refined, first): 1, (raw, first): -1})
            low, high = gain.interval(1 - 2 * rules.alpha)
            told = Engineered(engineered=refined, raw=raw, gain=gain.mean, low=low, high=high)
            found.append((told, gain.p_above(study.smallest_gain)))
    return found


def _orders(study: Study, learners: Sequence[str]) -> tuple[list[str], list[str], float, dict[str, float]]:
    """The orders at the first and the last size, the best first; tau between them, and of each size with the last."""
    means, last = study.means(), study.sizes[-1]

    def order(n: int, names: Sequence[str]) -> list[str]:
        return sorted(names, key=lambda name: -means[name, n])

    final = order(last, learners)
    curve = {}
    for n in study.sizes:
        present = [name for name in learners if (name, n) in means]
        if len(present) > 1:
            curve[str(n)] = _tau(order(n, present), [name for name in final if name in present])
    early = order(study.sizes[0], learners)
    return early, final, _tau(early, final), curve


def _sides(gain: Estimate) -> tuple[float, float]:
    """p values of: it is above 0, it is below 0."""
    return gain.p_above(0), gain.p_below(0)


def _either(early: tuple[float, float], late: tuple[float, float], opposite: bool) -> float:
    """p value of: both differences have a sign, the opposite one or the same; twice the better of the two ways."""
    ways = zip(early[::-1] if opposite else early, late, strict=True)
    return min(1.0, 2 * min(max(of_both) for of_both in ways))


def _kth(p_values: Iterable[float], k: int) -> float:
    """The k-th smallest, 1 where there are fewer."""
    ordered = sorted(p_values)
    return float(ordered[k - 1]) if 0 < k <= len(ordered) else 1.0


def _tau(order: Sequence[str], final: Sequence[str]) -> float:
    """Kendall's tau between two orders of the same names without ties."""
    tau = float(kendalltau(range(len(order)), [final.index(name) for name in order]).statistic)
    return round(tau, 12)  # 1 for the same order, where scipy's square root says a little less
