"""How sure a network may be of itself."""

import torch
from torch import Tensor

NEWTON_STEPS = 8
MOST_LOG = 3.0  # of a temperature: between 1/20 and 20


def with_temperature(logits: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The log loss in nats of logits divided by the temperature that makes it least, and that temperature: (M,) each.

    logits: (M, B, n_classes); labels: (M, B); weights: (M, B), of rows, with sum 1 for each model. Newton's method on
    the logarithm of the inverse temperature, which a penalty worth a single row holds near 0, and which stays between
    -MOST_LOG and MOST_LOG.
    """
    logits = logits.double()
    margins = logits - logits.gather(2, labels[..., None])  # (M, B, n_classes), 0 at the true class
    penalty = weights.amax(dim=1).double()
    log_inverse = torch.zeros_like(penalty)

    def moments() -> tuple[Tensor, Tensor, Tensor]:
        """The loss, and its first and second derivative by the inverse temperature."""
        scaled = log_inverse.exp()[:, None, None] * margins
        losses, p = scaled.logsumexp(dim=2), scaled.softmax(dim=2)
        means = (p * margins).sum(dim=2)
        variances = (p * margins.square()).sum(dim=2) - means.square()
        return tuple((values * weights).sum(dim=1) for values in (losses, means, variances))  # type: ignore[return-value]

    for _ in range(NEWTON_STEPS):
        inverse = log_inverse.exp()
        _, first, second = moments()
        slope = inverse * first + penalty * log_inverse
        curvature = (inverse.square() * second + inverse * first).clamp(min=0) + penalty
        log_inverse = (log_inverse - (slope / curvature).clamp(-1, 1)).clamp(-MOST_LOG, MOST_LOG)
    return moments()[0].float(), (-log_inverse).exp().float()
