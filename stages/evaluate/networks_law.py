"""The joint law of a study's networks, and what advice.json says of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from stages.contract import advice as contract
from stages.evaluate.joint_law import JointLaw, fit_joint_law
from stages.evaluate.metrics import Metric
from stages.evaluate.sums import Array, CellName

N_LAWS = 300  # resamples to which the joint law is fitted


def networks_law(
    metric: Metric,
    networks: Sequence[str],
    means: Mapping[CellName, float],
    resamples: Mapping[CellName, Array],
    n_parameters: Mapping[CellName, float],
) -> tuple[JointLaw | None, contract.Law | None]:
    """The joint law of the networks' cells, and what it says: its values, and how well it forecasts what is hidden."""
    cells = [cell for cell in resamples if cell[0] in networks]
    if not cells:
        return None, None
    signed = np.stack([np.append(means[cell], resamples[cell][:N_LAWS]) for cell in cells], axis=1)
    losses = metric.loss(signed)
    sizes = np.array([n_parameters[cell] for cell in cells])
    labels = np.array([n for _, n in cells], dtype=np.float64)
    law = fit_joint_law(sizes, labels, losses)
    if law is None:
        return None, None
    values = {}
    for name in ("floor", "of_parameters", "of_labels", "alpha", "beta"):
        drawn = getattr(law, name)
        low, high = (float(q) for q in np.quantile(drawn[1:], (0.1, 0.9)))
        values[name] = contract.LawValue(value=float(drawn[0]), low80=low, high80=high)
    backtest = []
    largest = np.array([cell[0] == networks[-1] for cell in cells])
    newest = labels == labels.max()
    for hidden, is_hidden in (("the largest network", largest), ("the last step in data", newest)):
        seen = fit_joint_law(sizes[~is_hidden], labels[~is_hidden], losses[:1, ~is_hidden])
        if seen is not None and is_hidden.any():
            predicted = [seen.loss(n, d)[0] for n, d in zip(sizes[is_hidden], labels[is_hidden], strict=True)]
            misses = np.abs(np.log(predicted) - np.log(losses[0, is_hidden]))
            backtest.append(contract.Hidden(hidden=hidden, mean_log_error=float(misses.mean())))
    return law, contract.Law(misfit=law.misfit, backtest=backtest, **values)
