"""From one learner to the next, and from one size to the next."""

from itertools import pairwise

import numpy as np

from stages.contract.claims import Claim, Step
from stages.evaluate.claims.verdicts import claim, missing, verdict
from stages.evaluate.estimates import holm
from stages.evaluate.params import Claims
from stages.evaluate.study import Study


def plateau(study: Study, rules: Claims) -> Claim:
    """Two one-sided tests (Schuirmann 1987) on the gain of the last doubling; refuted where it is clearly larger."""
    cells = [(rules.simple, n) for n in study.sizes[-2:]]
    if reason := missing(study, cells) or ("one size alone" if len(cells) < 2 else ""):
        return claim("plateau", "not tested", reason)
    doublings = float(np.log2(study.sizes[-1] / study.sizes[-2]))
    gain = study.estimate({cells[1]: 1 / doublings, cells[0]: -1 / doublings})
    margin = study.smallest_gain
    p_flat = max(gain.p_above(-margin), gain.p_below(margin))
    p_gain, p_loss = gain.p_above(margin), gain.p_below(-margin)
    p_refuted = min(1.0, 2 * min(p_gain, p_loss))
    low, high = gain.interval(1 - 2 * rules.alpha)
    reason = (
        f"the last step, {study.sizes[-2]:,} to {study.sizes[-1]:,} labels, brought {rules.simple} {gain.mean:+.4f} "
        f"[{low:+.4f}, {high:+.4f}] per doubling; flat means within {margin:g} of 0"
    )
    return claim(
        "plateau", verdict(p_flat, p_refuted, rules.alpha), reason, gain.mean, low, high, p_flat, p_refuted,
        learner=rules.simple, n_train=study.sizes[-1], margin=margin, test="equivalence",
    )  # fmt: skip


def orderings(study: Study, rules: Claims) -> tuple[Claim, Claim]:
    """Paired tests at the largest size: each network against the next smaller one, the smallest against the simple.

    Holm's correction runs over all of them, for either direction; the interval of a step is at the level at which
    Holm tests it.
    """
    n_train = study.sizes[-1]
    chain = [rules.simple, *rules.networks]
    steps = {
        (low, high): study.estimate({(high, n_train): 1, (low, n_train): -1})
        for low, high in pairwise(chain)
        if not missing(study, [(low, n_train), (high, n_train)])
    }
    supported = holm({step: gain.p_above(study.smallest_gain) for step, gain in steps.items()})
    refuted = holm({step: gain.p_below(study.smallest_gain) for step, gain in steps.items()})
    ranks = {step: rank for rank, step in enumerate(sorted(steps, key=lambda s: min(supported[s], refuted[s])))}

    def of_steps(name: str, wanted: list[tuple[str, str]]) -> Claim:
        lacking = next(filter(None, (missing(study, [(a, n_train), (b, n_train)]) for a, b in wanted)), "")
        if lacking or not wanted:
            return claim(name, "not tested", lacking or "fewer than two networks of one recipe")
        tests = []
        for step in wanted:
            gain = steps[step]
            low, high = gain.interval(1 - 2 * rules.alpha / (len(steps) - ranks[step]))
            tests.append(Step(better=step[1], than=step[0], gain=gain.mean, low=low, high=high,
                              p_supported=supported[step], p_refuted=refuted[step]))  # fmt: skip
        p_supported = max(supported[step] for step in wanted)
        p_refuted = min(refuted[step] for step in wanted)
        weakest = min(tests, key=lambda test: test.gain)
        reason = f"with {n_train:,} labels " + ", ".join(
            f"{test.better} is {test.gain:+.4f} [{test.low:+.4f}, {test.high:+.4f}] against {test.than}"
            + (f", {test.gain / study.smallest_gain:.1f} smallest gains" if study.smallest_gain else "")
            for test in tests
        )
        if name == "bigger_network" and rules.left_out:
            reason += f"; not among them, as of another recipe or not named: {', '.join(rules.left_out)}"
        return claim(
            name, verdict(p_supported, p_refuted, rules.alpha), reason, weakest.gain, weakest.low, weakest.high,
            p_supported, p_refuted, n_train=n_train, margin=study.smallest_gain, test="paired, Holm", tests=tests,
        )  # fmt: skip

    all_steps = list(pairwise(chain))
    return of_steps("small_network", all_steps[:1]), of_steps("bigger_network", all_steps[1:])
