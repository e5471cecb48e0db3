"""The measured curves in a few lines of words."""

from stages.common.artefacts import Json
from stages.evaluate.metrics import HIGHER_IS_BETTER


def headline(rows: list[Json], metric: str) -> Json:
    """Per learner: the value at the largest size, and the gain of the last doubling (better is positive)."""
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    summary: Json = {}
    for learner in dict.fromkeys(row["learner"] for row in rows):
        curve = [r for r in rows if r["learner"] == learner and r["metric"] == metric and r["mean"] is not None]
        if not curve:
            continue
        last = curve[-1]
        gain = sign * (last["mean"] - curve[-2]["mean"]) if len(curve) > 1 else None
        summary[learner] = {key: last[key] for key in ("n_train", "mean", "low", "high")} | {"last_gain": gain}
    return summary


def answer_lines(summary: Json, metric: str, metric_label: str) -> list[str]:
    """Who leads at the largest size, and what the last step in data brought each learner."""
    if not summary:
        return ["No cell has a usable fit; see results/cells.json for the reasons."]
    n_last = max(entry["n_train"] for entry in summary.values())
    at_last = {name: entry for name, entry in summary.items() if entry["n_train"] == n_last}
    order = sorted(at_last, key=lambda name: at_last[name]["mean"], reverse=HIGHER_IS_BETTER[metric])
    lines = [f"{metric_label} with {n_last:,} labels, best first:"]
    for name in order:
        entry = at_last[name]
        band = f" [{entry['low']:.4f}, {entry['high']:.4f}]" if entry["low"] is not None else ""
        gain = f", the last step in data brought {entry['last_gain']:+.4f}" if entry["last_gain"] is not None else ""
        lines.append(f"  {name:<22} {entry['mean']:.4f}{band}{gain}")
    return lines
