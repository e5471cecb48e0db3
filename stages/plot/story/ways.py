"""Ways to improve, ranked, with what they cost."""

from stages.contract.advice import WayToImprove
from stages.contract.costs import Price
from stages.contract.report import Table, Ways
from stages.plot.language import NONE, Words, capital, count, gain, seconds, value
from stages.plot.story.measured import Measured

TWICE = " with twice the parameters"  # as costs.json names a network that is none of the study's
PRICES = (0.01, 0.05, 0.2, 1.0, 5.0)  # of a label, in the small table


def ways(of: Measured, words: Words) -> Ways:
    head = [words(f"ways.{name}", least=value(of.least))
            for name in ("way", "gain", "over", "chance", "labels", "seconds", "money")]  # fmt: skip
    rows = [_row(way, price_of(of, way), of.advice.best_learner, words) for way in of.advice.ways]
    n_labels = max((way.labels for way in of.advice.ways), default=0)
    return Ways(
        table=Table(caption=words("ways.caption", metric=of.metric), head=head, rows=rows), notes=_notes(of, words),
        labels=n_labels, prices_of_labels=_prices(n_labels, words) if n_labels else None,
    )  # fmt: skip


def price_of(of: Measured, way: WayToImprove) -> Price | None:
    same = [price for price in of.costs.options if (price.option, price.learner) == (way.way, way.learner)]
    return same[0] if same else None


def name_of(way: WayToImprove, words: Words) -> str:
    is_named = way.way == "more data"  # elsewhere the article stands in the sentence, or none does
    return words(f"ways.{way.way}", learner=words.named(way.learner) if is_named else words.learner(way.learner))


def _row(way: WayToImprove, price: Price | None, best: str | None, words: Words) -> list[str]:
    told = words.interval(gain, way.gain.median, way.gain.low80, way.gain.high80)
    if way.own_gain and way.learner != way.over:
        own = way.own_gain
        told += ". " + words("ways.own", gain=gain(own.median), low=gain(own.low80), high=gain(own.high80))
    if way.probability is not None:
        chance = words.chance(way.probability)
    else:
        chance = words("ways.has_it" if way.learner == best else "ways.elsewhere")
    is_new = words("ways.forecast" if way.is_forecast else "ways.measured")
    money = f"{price.money:,.2f}" if price and price.money is not None else NONE
    return [f"{name_of(way, words)} ({is_new})", told, capital(words.learner(way.over)), chance,
            count(way.labels) if way.labels else "0", seconds(price.seconds) if price else NONE, money]  # fmt: skip


def _notes(of: Measured, words: Words) -> list[str]:
    notes = []
    if of.advice.not_tested:
        names = ", ".join(words(f"ways.names.{name}") for name in of.advice.not_tested)
        notes.append(words("ways.not_tested", names=names))
    if of.costs.choice:
        notes.append(words("ways.choice", way=words(f"ways.names.{of.costs.choice}")))
    if (cell := of.costs.next_cell) is not None:
        name = cell.learner.removesuffix(TWICE)
        told = words("ways.next_twice" if name != cell.learner else "ways.next", learner=words.learner(name),
                     n=count(cell.n_train), seconds=seconds(cell.seconds))  # fmt: skip
        notes.append(told)
    return notes


def _prices(n_labels: int, words: Words) -> Table:
    rows = [[words("ways.price_of", price=f"{price:.2f}"), f"{price * n_labels:,.0f}"] for price in PRICES]
    return Table(caption=words("ways.price_caption"), head=[words("ways.price_label"), words("ways.money")], rows=rows)
