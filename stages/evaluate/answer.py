"""The results in a few lines of words."""

from collections.abc import Mapping, Sequence

from stages.common.artefacts import Json
from stages.contract.advice import Advice
from stages.contract.cells import MeasuredCell
from stages.contract.claims import Claim


def answer_lines(
    summary: Json, claims: Sequence[Claim], shapes: Mapping[str, Sequence[Json]], advice: Advice,
    cells: Sequence[MeasuredCell],
) -> list[str]:  # fmt: skip
    """Advice, who leads at the largest size, the verdicts, forecasts' record, and how many cells are marked."""
    lines = [f"Advice: {advice.answer}; {advice.reason}.", f"  {labels_line(advice)}"]
    lines += [f"  {line}" for line in advice_lines(advice)]
    lines += ["", *ranking_lines(summary, shapes["last_steps"]), "", "The chapter's statements:"]
    lines += [f"  {claim.verdict:<13} {claim.id}: {claim.evidence.reason}" for claim in claims]
    if shapes["ill_behaved"]:
        lines.append("Ill-behaved curves:")
        lines += [f"  {shape_line(found)}" for found in shapes["ill_behaved"]]
    if shapes["backtests"]:
        lines.append("Forecasts, graded by hiding the last doublings (mean |log error| of the loss):")
        lines += [f"  {grade_line(grade)}" for grade in shapes["backtests"]]
    n_marked = sum(bool(cell.marks) for cell in cells)
    if n_marked:
        lines.append(f"{n_marked} of {len(cells)} cells are marked: the report says why.")
    return lines


def ranking_lines(summary: Json, last_steps: Sequence[Json]) -> list[str]:
    """One line per learner, the best first, with what the last step in data brought it per doubling."""
    sign = -1 if summary["higher_is_better"] else 1
    learners = summary["learners"]
    steps = {step["learner"]: step for step in last_steps}
    n_last = max(entry["n_train"] for entry in learners.values())
    lines = [f"{summary['metric_label']} with {n_last:,} labels, best first:"]
    for name in sorted(
        learners, key=lambda name: (learners[name]["mean"] is None, sign * (learners[name]["mean"] or 0))
    ):
        entry = learners[name]
        if entry["mean"] is None:
            lines.append(f"  {name:<22} no usable fit")
            continue
        band = f" [{entry['low']:.4f}, {entry['high']:.4f}]" if entry["low"] is not None else ""
        gain = f", the last step in data brought {signed(steps[name])} per doubling" if name in steps else ""
        lines.append(f"  {name:<22} {entry['mean']:.4f}{band}{gain}")
    return lines


def labels_line(advice: Advice) -> str:
    """How many labels there are to train with, from which the advice starts."""
    n_train, n_pool = advice.n_train, advice.n_pool
    if n_train == n_pool:
        return f"you have {n_pool:,} labels to train with, and the largest size is all of them"
    return f"the largest size is {n_train:,} of the {n_pool:,} labels that you have to train with"


def advice_lines(advice: Advice) -> list[str]:
    """What each option would buy, and whether the simple learner is enough."""
    lines = []
    for option in advice.options:
        gain = option.gain
        price = f", for {option.labels:,} labels" if option.labels else ""
        lines.append(
            f"{option.option} ({option.learner}: {option.change}) would bring {gain.median:+.4f} "
            f"[{gain.low80:+.4f}, {gain.high80:+.4f}] over {advice.best_learner} today, more than "
            f"{advice.min_gain:g} with probability {option.probability:.2f}{price}"
        )
    if enough := advice.simple_is_enough:
        lines.append(
            f"{enough.learner} is enough with probability {enough.probability:.2f}: that no learner is more than "
            f"{advice.min_gain:g} above it"
        )
    for test in advice.joint_law.backtest if advice.joint_law else []:
        lines.append(f"the joint law of the networks, {test.hidden} hidden: misses by {test.mean_log_error:.3f} "
                     "in log loss")  # fmt: skip
    return lines


def shape_line(found: Json) -> str:
    recovers = f", better again at {found['recovers_at']:,}" if found["recovers_at"] else ""
    return (
        f"{found['learner']}: {found['shape']}, {found['loss']:.4f} worse with {found['to']:,} labels than with "
        f"{found['from']:,} (adjusted p {found['p']:.2g}){recovers}"
    )


def grade_line(grade: Json) -> str:
    n = grade["n_forecasts"]
    return (
        f"{grade['factor']:.3g} times the data hidden: {grade['mean_log_error']:.4f}, the last value "
        f"{grade['last_value_log_error']:.4f}; 80 % intervals covered {grade['covered80']} of {n}, 95 % intervals "
        f"{grade['covered95']}"
    )


def signed(step: Json) -> str:
    return f"{step['gain']:+.4f} [{step['low']:+.4f}, {step['high']:+.4f}]"
