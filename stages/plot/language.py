"""The words of a language, and numbers as a reader reads them."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

STRINGS = Path(__file__).with_name("strings")
PARTICLES = {"은(는)": "은는", "이(가)": "이가", "을(를)": "을를", "과(와)": "과와", "(으)로": ("으로", "로")}
PARTICLE = re.compile(rf"(\w)((?:[^\w\s(]|[ \u00a0](?=%))*)({'|'.join(map(re.escape, PARTICLES))})")
FINAL = dict(zip("013678lmnr", "ㅇㄹㅁㄱㄹㄹㄹㅁㄴㄹ", strict=True))  # sounds of signs
MINUS, NONE, SPACE = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{NO-BREAK SPACE}"


class Words:
    """The sentences of one language.

    Called with a dotted name and what is put in: {learner} is put in as it is, {Learner} with a capital letter.
    """

    def __init__(self, language: str):
        self.language = language
        self.content: dict[str, Any] = yaml.safe_load((STRINGS / f"{language}.yaml").read_text(encoding="utf-8"))

    def __call__(self, name: str, /, **values: str) -> str:
        found: Any = self.content
        for part in name.split("."):
            found = found[part]
        told: str = found.format(**values, **{key.capitalize(): capital(value) for key, value in values.items()})
        return joined(told) if self.language == "ko" else told

    def section(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.content[name]
        return found

    def chance(self, p: float) -> str:
        """A probability is never told as certain."""
        if 0.01 <= p <= 0.99:
            return f"{100 * p:.0f}{SPACE}%"
        return self("numbers.less" if p < 0.01 else "numbers.more", p=f"{1 if p < 0.01 else 99}{SPACE}%")

    def told(self, text: str) -> str:
        """What an earlier stage told of data or cells, in this language; as it is where no sentence of `told` fits."""
        parts = text.split("; ")
        found = [self._told(part) for part in parts]
        if None not in found or (whole := self._told(text)) is None:
            return "; ".join(said or part for said, part in zip(found, parts, strict=True))
        return whole

    def _told(self, sentence: str) -> str | None:
        for name, pattern in _patterns().items():
            if found := pattern.fullmatch(sentence):
                return self(f"told.{name}", **{key: self.told(value) for key, value in found.groupdict().items()})
        return None

    def range(self, low: str, high: str) -> str:
        return self("numbers.range", low=low, high=high)

    def interval(self, shown: Callable[[float], str], middle: float, low: float, high: float) -> str:
        return f"{shown(middle)} ({self.range(shown(low), shown(high))})"

    def learner(self, name: str) -> str:
        """One name per learner, everywhere."""
        known: Mapping[str, str] = self.content["learners"]
        return known.get(name, name.replace("_", " "))

    def named(self, name: str) -> str:
        """A learner's name within a sentence: of networks the article stands before it, where the language has one."""
        said = self.learner(name)
        return self("numbers.the", learner=said) if name in self.content["learners"] and name.endswith("_nn") else said


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    """By name the English sentences of `told`, with what is put in as named groups."""
    patterns = {}
    for name, sentence in Words("en").section("told").items():
        parts = re.split(r"\{(\w+)\}", sentence)  # text and names in turns
        made = "".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
        patterns[name] = re.compile(made, re.DOTALL)
    return patterns


def joined(text: str) -> str:
    """Korean particles after what was put in, in the form that its last sound asks for: 은(는) becomes 은 or 는."""
    return PARTICLE.sub(_particle, text)


def _particle(found: re.Match[str]) -> str:
    """A final consonant takes the first form, but for (으)로 after ㄹ; digits and Latin letters as they are read."""
    last, between, pair = found[1].lower(), found[2], found[3]
    if "%" in between:
        end = ""
    elif "가" <= last <= "힣":
        place = (ord(last) - ord("가")) % 28
        end = "ㄹ" if place == 8 else "ㄱ" if place else ""
    else:
        end = FINAL.get(last, "")
    is_closed = bool(end) and not (pair == "(으)로" and end == "ㄹ")
    return f"{found[1]}{between}{PARTICLES[pair][0 if is_closed else 1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def columns(text: str) -> int:
    """How many letters of the Latin alphabet it is as wide as: Korean ones count twice."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def count(n: float) -> str:
    """Such as 65,536."""
    return f"{n:,.0f}"


def short(n: float) -> str:
    """Such as 64k for 65,536, 1M for 1,048,576, 10k for 10,000."""
    for unit in (1024, 1000):
        if n % unit**2 == 0:
            return f"{n // unit**2:.0f}M"
        if n % unit == 0:
            return f"{n // unit:.0f}k"
    return f"{n / 1e6:.3g}M" if n >= 1e6 else f"{n / 1e3:.3g}k" if n >= 10_000 else f"{n:,.0f}"


def value(x: float) -> str:
    return f"{x:.4f}".replace("-", MINUS)


def gain(x: float) -> str:
    """Signed; a difference that rounds to nothing has no sign."""
    text = f"{x:+.4f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def confidence(c: float) -> str:
    return f"{100 * c:g}{SPACE}%"


def seconds(s: float) -> str:
    return f"{s:.1f}" if s < 10 else f"{s:,.0f}"
