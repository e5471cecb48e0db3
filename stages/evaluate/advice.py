"""What twice the data and what twice the network would buy, and which of them pays: advice.json, without prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.contract import advice as contract
from stages.evaluate.forecast import Measured, labels_until
from stages.evaluate.joint_law import JointLaw
from stages.evaluate.laws import MIN_POINTS
from stages.evaluate.metrics import Metric
from stages.evaluate.networks_law import networks_law
from stages.evaluate.params import AdviceRules
from stages.evaluate.study import Study
from stages.evaluate.sums import Array, CellName

LEVELS = np.linspace(0.005, 0.995, 199)  # of the quantiles that stand for a predictive distribution


@dataclass(frozen=True)
class Option:
    """One way to spend, and its gain over the best learner of today.

    gains: (n_values,) equally probable, in units of the metric, better is positive; own_gains: over the option's own
    learner today; labels: how many it takes.
    """

    name: contract.OptionName
    learner: str
    change: str
    gains: Array
    own_gains: Array
    labels: int

    def probability(self, min_gain: float) -> float:
        return float((self.gains > min_gain).mean())

    def told(self, rules: AdviceRules) -> contract.Option:
        probability = self.probability(rules.min_gain)
        return contract.Option(
            option=self.name, learner=self.learner, change=self.change, gain=_gain(self.gains),
            own_gain=_gain(self.own_gains), probability=probability, pays=probability >= rules.certainty,
            labels=self.labels,
        )  # fmt: skip


def _gain(values: Array) -> contract.Gain:
    low, middle, high = (float(q) for q in np.quantile(values, (0.1, 0.5, 0.9)))
    return contract.Gain(median=middle, low80=low, high80=high)


@dataclass(frozen=True)
class Telling:
    """A cell that would tell more of an undecided gain, of the option that it `shows`."""

    learner: str
    n_train: int
    shows: contract.OptionName
    variance_taken: float


@dataclass(frozen=True)
class Advised:
    """The content of advice.json, and what prices are asked of."""

    report: contract.Advice
    options: list[Option]
    telling: list[Telling]
    both: Option | None = None


def advise(
    study: Study,
    curves: Sequence[Measured],
    networks: Sequence[str],
    simple: str,
    n_parameters: Mapping[CellName, float],
    n_pool: int,
    rules: AdviceRules,
) -> Advised:
    """What each option would bring, and what to do.

    networks: those of one recipe, from small to large. An option pays where its gain over the best learner of
    today exceeds `min_gain` with probability `certainty`, and does not where that probability is at most 1 - certainty.
    Of those that pay the larger gain is advised; if none can, stop; otherwise it cannot be told
    yet. What prices change of that is `costs`'s.
    """
    means, resamples, metric = study.means(), study.resamples, study.metric
    n_last = max((n for _, n in means), default=0)
    now = {learner: mean for (learner, n), mean in means.items() if n == n_last and (learner, n) in resamples}
    if not now:
        report = contract.Advice(
            answer="cannot tell yet", reason="no cell at the largest size has a usable fit", options=[],
            n_train=max(n for _, n in study.cells), n_pool=n_pool,
        )  # fmt: skip
        return Advised(report, [], [])
    best = max(now, key=lambda name: now[name])
    law, law_report = networks_law(metric, networks, means, resamples, n_parameters)
    found = [
        more_data(curves, metric, now, best, n_last, resamples),
        bigger_network(law, networks, metric, now, best, n_last, n_parameters, resamples),
    ]
    options = [option for option in found if option is not None]
    answer, reason = decide(options, rules, expected=2 if networks else 1)
    target = rules.target if rules.target is not None else metric.signed(now[best])
    until = [labels_until(curve, metric.of_loss(target)) for curve in curves]
    report = contract.Advice(
        answer=answer, reason=reason, n_train=n_last, n_pool=n_pool, best_learner=best,
        best_value=metric.signed(now[best]), min_gain=rules.min_gain, certainty=rules.certainty,
        simple_is_enough=simple_is_enough(simple, n_last, resamples, rules),
        options=[option.told(rules) for option in options], joint_law=law_report,
        labels_until=contract.LabelsUntil(target=target, learners=until),
    )  # fmt: skip
    sizes = sorted({n for name, n in study.cells if networks and name == networks[-1]})
    telling = telling_cells(options, law, networks, sizes, n_last, n_pool, n_parameters, rules)
    both = bigger_network(law, networks, metric, now, best, n_last, n_parameters, resamples, n_ahead=2 * n_last)
    return Advised(report, options, telling, both)


def decide(options: Sequence[Option], rules: AdviceRules, expected: int) -> tuple[contract.Answer, str]:
    """The advice and the reason for it; to stop takes that all of the expected options were assessed."""
    if not options:
        return "cannot tell yet", "too few cells to forecast from"
    chances = {option.name: option.probability(rules.min_gain) for option in options}
    told = " and ".join(f"{chance:.2f} for {name}" for name, chance in chances.items())
    reason = f"the probability of a gain of more than {rules.min_gain:g} over today's best learner is {told}"
    paying = [option for option in options if chances[option.name] >= rules.certainty]
    if paying:
        name = max(paying, key=lambda option: float(np.median(option.gains))).name
        assert name != "both"
        return name, reason
    if len(options) < expected:
        return "cannot tell yet", f"{reason}; the other way could not be assessed from so few cells"
    if all(chance <= 1 - rules.certainty for chance in chances.values()):
        return "stop", reason
    return "cannot tell yet", reason


def more_data(
    curves: Sequence[Measured], metric: Metric, now: Mapping[str, float], best: str, n_last: int,
    resamples: Mapping[CellName, Array],
) -> Option | None:  # fmt: skip
    """Twice the labels for the learner of which the forecast promises most; None where no curve can be forecast."""
    forecasts = {}
    for curve in curves:
        if len(curve.n_train) >= MIN_POINTS and curve.n_train[-1] == n_last and (curve.loss > 0).all():
            losses = curve.until(np.inf).quantiles(2 * n_last, LEVELS)[0]
            forecasts[curve.learner] = metric.signed(metric.of_loss(losses))
    if not forecasts:
        return None
    learner = max(forecasts, key=lambda name: float(np.median(forecasts[name])))
    lead = resamples[learner, n_last] - resamples[best, n_last]
    own = np.random.default_rng(0).choice(forecasts[learner], len(lead)) - now[learner]
    return Option("more data", learner, f"{n_last:,} labels become {2 * n_last:,}", own + lead, own, n_last)


def bigger_network(
    law: JointLaw | None, networks: Sequence[str], metric: Metric, now: Mapping[str, float], best: str, n_last: int,
    n_parameters: Mapping[CellName, float], resamples: Mapping[CellName, Array], n_ahead: int | None = None,
) -> Option | None:  # fmt: skip
    """Twice the parameters of the largest network at today's size, or with n_ahead labels; None without a joint law.

    The law's difference between two networks misses by its misfit, once for each of them.
    """
    if law is None or networks[-1] not in now:
        return None
    largest = networks[-1]
    size = n_parameters[largest, n_last]
    loss_now = metric.loss(now[largest])
    noise = np.random.default_rng(0).normal(size=len(law.floor)) * np.sqrt(2) * law.misfit * loss_now
    n_then = n_ahead or n_last
    gains = (law.loss(size, n_last) - law.loss(2 * size, n_then) + noise)[1:]
    change = f"{size:,.0f} parameters become {2 * size:,.0f}"
    lead = (resamples[largest, n_last] - resamples[best, n_last])[: len(gains)]
    return Option("both" if n_ahead else "bigger network", largest, change, gains + lead, gains, n_then - n_last)


def simple_is_enough(
    simple: str, n_last: int, resamples: Mapping[CellName, Array], rules: AdviceRules
) -> contract.Enough | None:
    """With which probability no learner is more than `min_gain` above the simple one at the largest size."""
    if (simple, n_last) not in resamples:
        return None
    lead = np.max([drawn - resamples[simple, n_last] for (_, n), drawn in resamples.items() if n == n_last], axis=0)
    return contract.Enough(learner=simple, probability=float((lead <= rules.min_gain).mean()))


def telling_cells(
    options: Sequence[Option], law: JointLaw | None, networks: Sequence[str], sizes: Sequence[int], n_last: int,
    n_pool: int, n_parameters: Mapping[CellName, float], rules: AdviceRules,
) -> list[Telling]:  # fmt: skip
    """Cells whose result would take variance from an undecided gain, and how much.

    The cell at twice the labels, within the pool, would show the gain of more data itself. A network of twice the
    parameters shows that of a bigger network, at the largest size outright and at smaller ones as far as the joint law
    ties them together.
    """
    found = []
    for option in options:
        if not 1 - rules.certainty < option.probability(rules.min_gain) < rules.certainty:
            continue
        variance = float(option.gains.var())
        if option.name == "more data":
            if 2 * n_last <= n_pool:
                found.append(Telling(option.learner, 2 * n_last, option.name, variance))
        elif law is not None:
            size = n_parameters[networks[-1], n_last]
            target = (law.loss(size, n_last) - law.loss(2 * size, n_last))[1:]
            for n_train in sizes:
                shown = (law.loss(size, n_train) - law.loss(2 * size, n_train))[1:]
                noise = 2 * (law.misfit * float(law.loss(size, n_train)[0])) ** 2
                taken = variance if n_train == n_last else float(np.cov(target, shown)[0, 1]) ** 2 / (
                    float(shown.var()) + noise
                )  # fmt: skip
                found.append(Telling(networks[-1], n_train, option.name, taken))
    return found
