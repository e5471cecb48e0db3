"""The answer: a headline, two sentences, what an interval means, and what it holds for."""

from stages.contract.advice import Option
from stages.contract.report import Answer, Holds
from stages.plot.language import Words, capital, count, gain, value
from stages.plot.story.measured import Measured


def answer(of: Measured, words: Words) -> Answer:
    return Answer(
        headline=headline(of, words), sentences=sentences(of, words), interval=interval(of, words),
        holds=holds(of, words),
    )  # fmt: skip


def headline(of: Measured, words: Words) -> str:
    """What options do by their chance: help, do not, or cannot be told; and whether the simple learner is enough."""
    advice = of.advice
    if advice.best_learner is None:
        return words("headline.failed")
    data, network = of.option("more data"), of.option("bigger network")
    sides = _side(of, data, "missing"), _side(of, network, "unknown" if len(of.networks) > 1 else "missing")
    told = words(f"headline.{sides[0]}_{sides[1]}")
    enough, certainty = advice.simple_is_enough, advice.certainty or 1.0
    if enough and enough.probability >= certainty and len(of.results.learners) > 1:
        return f"{words('headline.enough', simple=words.learner(enough.learner))} {told}"
    return told


def _side(of: Measured, option: Option | None, otherwise: str) -> str:
    certainty = of.advice.certainty
    if option is None or certainty is None:
        return otherwise
    if option.pays:
        return "yes"
    return "no" if option.probability <= 1 - certainty else "unknown"


def sentences(of: Measured, words: Words) -> list[str]:
    """Of more labels, of a bigger network, and whether the simple learner is enough where that is not clear."""
    advice = of.advice
    found: list[str] = []
    if advice.best_learner is None or advice.best_value is None:
        return found
    best, least = words.named(advice.best_learner), value(of.least)
    if data := of.option("more data"):
        found.append(words(
            "sentences.labels", n_ahead=count(advice.n_train + data.labels), n=count(advice.n_train),
            learner=words.named(data.learner), metric=of.metric, best=best, value=value(advice.best_value),
            least=least, chance=words.chance(data.probability), gain=gain(data.gain.median), low=gain(data.gain.low80),
            high=gain(data.gain.high80),
        ))  # fmt: skip
    if network := of.option("bigger network"):
        own, over = network.own_gain, network.gain
        found.append(words(
            "sentences.own_best" if network.learner == advice.best_learner else "sentences.own",
            learner=words.learner(network.learner), best=best, metric=of.metric, least=least,
            chance=words.chance(network.probability), own=gain(own.median), own_low=gain(own.low80),
            own_high=gain(own.high80), gain=gain(over.median), low=gain(over.low80), high=gain(over.high80),
        ))  # fmt: skip
    if advice.simple_is_enough and len(of.results.learners) > 1:
        enough = advice.simple_is_enough
        found.append(words("sentences.enough", simple=words.named(enough.learner), least=least,
                           chance=words.chance(enough.probability)))  # fmt: skip
    return found


def interval(of: Measured, words: Words) -> list[str]:
    found = [words("sentences.interval", metric=of.metric)]
    best = of.advice.best_value
    if best is None:
        return found
    names = {"roc_auc": "pairs" if len(of.card.classes) == 2 else "pairs_many", "accuracy": "share", "error": "wrong"}
    name = names.get(of.results.metric, "loss")
    return [*found, words(f"sentences.{name}", metric=of.metric, value=value(best), n=f"{100 * best:.1f}")]


def holds(of: Measured, words: Words) -> list[Holds]:
    """What the answer was measured on, and so what it holds for."""
    card, sizes, n_pool = of.card, of.sizes, of.advice.n_pool
    told = "sizes_all" if sizes[-1] == n_pool else "sizes_text"
    test = "test_grouped" if card.split.is_grouped else "test_text"
    learners = ", ".join(words.learner(name) for name in of.results.learners)
    return [
        Holds(what=words("holds.split"), text=words(f"holds.{card.split.how}", unit=words.told(card.split.counted_by))),
        Holds(what=words("holds.sizes"), text=words(f"holds.{told}", first=count(sizes[0]), last=count(sizes[-1]),
                                                    pool=count(n_pool))),
        Holds(what=words("holds.learners"), text=capital(learners)),
        Holds(what=words("holds.test"), text=words(f"holds.{test}", n=count(card.rows.test),
                                                   unit=words.told(card.split.counted_by))),
        Holds(what=words("holds.metric"), text=words("holds.metric_text", metric=of.metric, least=value(of.least))),
    ]  # fmt: skip
