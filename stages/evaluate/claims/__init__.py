"""The seven statements of the chapter, each tested on the study's own cells."""

from stages.contract.claims import Claim
from stages.evaluate.claims.best import both_scales, million
from stages.evaluate.claims.order import small_data
from stages.evaluate.claims.steps import orderings, plateau
from stages.evaluate.claims.ways import LISTED_FIRST, TUNED, reliable
from stages.evaluate.params import Claims
from stages.evaluate.study import Study

__all__ = [
    "LISTED_FIRST",
    "TUNED",
    "both_scales",
    "million",
    "orderings",
    "plateau",
    "reliable",
    "small_data",
    "tested",
]


def tested(study: Study, rules: Claims) -> list[Claim]:
    """One claim for each of STATEMENTS, in their order; gains are in units of the metric, better is positive."""
    small, bigger = orderings(study, rules)
    return [
        plateau(study, rules),
        small,
        bigger,
        both_scales(study, rules),
        small_data(study, rules),
        million(study, rules),
        reliable(study, rules),
    ]
