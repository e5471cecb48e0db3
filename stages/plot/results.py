"""What figures are drawn from: the measured curves, their forecasts, and what guessing reaches."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Row = Mapping[str, str]  # of a CSV file


@dataclass(frozen=True)
class Curve:
    """One learner's values of one metric; low and high are NaN without a band; marked cells are drawn hollow."""

    learner: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    is_marked: Sequence[bool]


@dataclass(frozen=True)
class Results:
    """rows: of curves.csv; forecasts: of forecast.csv; marked: cells, by learner and size; metric: that of the picture,
    and its label; chance, constant: by metric, what guessing and the constant predictor reach."""

    rows: Sequence[Row]
    forecasts: Sequence[Row]
    marked: frozenset[tuple[str, int]]
    metric: str
    label: str
    chance: Mapping[str, float]
    constant: Mapping[str, float]

    @property
    def learners(self) -> list[str]:
        return list(dict.fromkeys(row["learner"] for row in self.rows))

    @property
    def sizes(self) -> list[int]:
        return sorted({int(row["n_train"]) for row in self.rows})

    def curves(self, metric: str, x: str = "n_train") -> list[Curve]:
        """One curve per learner, in the order of the rows; cells without a mean or without x are left out."""
        found = []
        for learner in self.learners:
            points = [r for r in self.rows if (r["learner"], r["metric"]) == (learner, metric) and r["mean"] and r[x]]
            if points:
                places, mean, low, high = ([number(row[key]) for row in points] for key in (x, "mean", "low", "high"))
                is_marked = [(learner, int(row["n_train"])) in self.marked for row in points]
                found.append(Curve(learner, places, mean, low, high, is_marked))
        return found

    def points(self) -> list[dict[str, str | int | float]]:
        """Of the picture, for `dvc plots`."""
        return [
            {"learner": curve.learner, "labels": int(n), "value": mean}
            for curve in self.curves(self.metric) for n, mean in zip(curve.x, curve.mean, strict=True)
        ]  # fmt: skip

    def ahead(self, metric: str) -> list[Curve]:
        """Each learner's forecasts as a curve with its 80 % intervals; none for a learner without forecasts."""
        found = []
        for learner in dict.fromkeys(row["learner"] for row in self.forecasts):
            keys = (learner, metric, "forecast")
            points = [row for row in self.forecasts if (row["learner"], row["metric"], row["kind"]) == keys]
            if points:
                x, mean, low, high = (
                    [number(row[key]) for row in points] for key in ("n_train", "predicted", "low80", "high80")
                )
                found.append(Curve(learner, x, mean, low, high, [False] * len(points)))
        return found

    def levels(self, metric: str) -> dict[str, float]:
        """What guessing and the constant predictor reach, by name."""
        return {"chance": self.chance[metric], "constant": self.constant[metric]}


def number(text: str) -> float:
    return float(text) if text else math.nan
