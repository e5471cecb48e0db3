"""The ways to improve, ranked: what scale would bring, and what the other ways brought."""

from typing import get_args

from stages.contract.advice import Advice, Gain, OptionName, WayName, WayToImprove
from stages.evaluate.advice import Advised
from stages.evaluate.claims.ways import LISTED_FIRST, TUNED, other_ways
from stages.evaluate.params import AdviceRules, Claims
from stages.evaluate.study import Study

CONFIDENCE = 0.8  # of all intervals, as of the forecasts'
NAMES: tuple[WayName, ...] = (*get_args(OptionName), "tuning", "engineered features", "another learner")


def with_ways(advised: Advised, study: Study, of_claims: Claims, rules: AdviceRules) -> Advice:
    """The report with all ways that the study can tell of, the largest gain first, and the names of the others.

    Scale counts over the best learner of today, as an advice does; what was measured over the learner without it, as
    today's best may have it already.
    """
    report, found = advised.report, []
    for option in [*advised.options, *([advised.both] if advised.both else [])]:
        told, best = option.told(rules), report.best_learner or option.learner
        found.append(WayToImprove(
            way=option.name, learner=option.learner, over=best, is_forecast=True, gain=told.gain,
            own_gain=told.own_gain, probability=told.probability, labels=option.labels,
        ))  # fmt: skip
    for name, weights in other_ways(study, of_claims).others:
        brought = study.estimate(weights)
        low, high = brought.interval(CONFIDENCE)
        taken, over = (next(learner for (learner, _), w in weights.items() if w * sign > 0) for sign in (1, -1))
        found.append(WayToImprove(
            way=next(way for way in NAMES if name.startswith(way)), learner=taken.removesuffix(TUNED),
            over=over.removesuffix(LISTED_FIRST), is_forecast=False,
            gain=Gain(median=brought.mean, low80=low, high80=high),
        ))  # fmt: skip
    found.sort(key=lambda way: -way.gain.median)
    lacking = tuple(name for name in NAMES if name not in {way.way for way in found})
    return report.model_copy(update={"ways": tuple(found), "not_tested": lacking})
