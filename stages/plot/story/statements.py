"""The chapter's statements, each with its verdict, a sentence and a number."""

from collections.abc import Callable

from stages.contract.claims import Claim, Evidence
from stages.contract.report import Statement
from stages.plot.language import Words, count, gain, value
from stages.plot.story.measured import Measured

Told = Callable[[Evidence, Measured, Words], str]


def statements(of: Measured, words: Words) -> list[Statement]:
    return [_statement(claim, of, words) for claim in of.claims]


def _statement(claim: Claim, of: Measured, words: Words) -> Statement:
    evidence, verdict = claim.evidence, words.section("verdicts")[claim.verdict]
    if claim.verdict != "not tested":
        text = TEXTS[claim.id](evidence, of, words)
    elif claim.id == "million" and of.sizes[-1] < 1_000_000:
        text = words("statements.too_small", n=count(of.sizes[-1]))
    else:
        text = words("statements.not_tested")
    number = ""
    if evidence.effect is not None and evidence.low is not None and evidence.high is not None:
        shown = _tau if claim.id == "small_data" else gain
        number = words("statements.number", effect=shown(evidence.effect), low=shown(evidence.low),
                       high=shown(evidence.high))  # fmt: skip
    return Statement(
        id=claim.id, title=words(f"statements.{claim.id}.title"), verdict=claim.verdict, symbol=verdict["symbol"],
        word=verdict["word"], text=text, number=number,
    )  # fmt: skip


def _plateau(e: Evidence, of: Measured, words: Words) -> str:
    return words("statements.plateau.text", n=count(e.n_train or 0), learner=words.learner(e.learner or ""),
                 effect=gain(e.effect or 0), margin=value(e.margin or 0))  # fmt: skip


def _small_network(e: Evidence, of: Measured, words: Words) -> str:
    step = (e.tests or [])[0]
    return words("statements.small_network.text", n=count(e.n_train or 0), better=words.learner(step.better),
                 effect=gain(step.gain), than=words.learner(step.than))  # fmt: skip


def _bigger_network(e: Evidence, of: Measured, words: Words) -> str:
    steps = [words("statements.bigger_network.step", better=words.learner(step.better), gain=gain(step.gain),
                   than=words.learner(step.than)) for step in e.tests or []]  # fmt: skip
    return words("statements.bigger_network.text", n=count(e.n_train or 0), steps=", ".join(steps))


def _both_scales(e: Evidence, of: Measured, words: Words) -> str:
    learner, n_train = e.cell or ("", 0)
    likeliest = max(e.probability_of_best or {"": 0.0}, key=lambda name: (e.probability_of_best or {}).get(name, 0.0))
    best, _, n_best = likeliest.rpartition("-")
    return words("statements.both_scales.text", learner=words.learner(learner), n=count(n_train),
                 effect=gain(e.effect or 0), best=words.named(best), n_best=count(int(n_best or 0)),
                 chance=words.chance((e.probability_of_best or {}).get(likeliest, 0.0)))  # fmt: skip


def _small_data(e: Evidence, of: Measured, words: Words) -> str:
    first, last = (names[0] if names else "" for names in (e.order, e.final_order))
    name = "same" if first == last else "text"
    told = [words(f"statements.small_data.{name}", first=words.named(first), last=words.named(last),
                  n=count(e.n_train or 0), effect=_tau(e.effect or 0))]  # fmt: skip
    for pair in e.engineered or []:
        names = {"refined": words.named(pair.engineered), "raw": words.named(pair.raw)}
        shown = {key: gain(getattr(pair, key)) for key in ("gain", "low", "high")}
        told.append(words("statements.small_data.engineered", **names, **shown))
    return " ".join(told)


def _million(e: Evidence, of: Measured, words: Words) -> str:
    return words("statements.million.text", n=count(e.n_train or 0), network=words.learner(e.network or ""),
                 other=words.learner(e.other or ""), effect=gain(e.effect or 0))  # fmt: skip


def _reliable(e: Evidence, of: Measured, words: Words) -> str:
    told = []
    for way in e.ways or []:
        name, _, learner = way.way.partition(", ")
        known = words.section("ways")["names"]
        shown = known[name] if name in known else words("statements.reliable.scale")
        shown += f" ({words.learner(learner)})" if learner else ""
        told.append(words("statements.reliable.way", way=shown, gain=gain(way.gain)))
    return words("statements.reliable.text", ways="; ".join(told))


def _tau(x: float) -> str:
    return f"{x:.2f}".replace("-", "\N{MINUS SIGN}")


TEXTS: dict[str, Told] = {
    "plateau": _plateau, "small_network": _small_network, "bigger_network": _bigger_network,
    "both_scales": _both_scales, "small_data": _small_data, "million": _million, "reliable": _reliable,
}  # fmt: skip
