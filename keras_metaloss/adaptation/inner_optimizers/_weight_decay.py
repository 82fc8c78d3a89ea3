"""Decoupled weight decay."""

from __future__ import annotations

from typing import Any

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.adaptation.inner_optimizers._numerics import rate_at
from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import (
    InnerOptimizer,
    Rate,
    Weights,
)

__all__ = ["with_weight_decay"]


def with_weight_decay(
    optimizer: InnerOptimizer, learning_rate: Rate, weight_decay: float
) -> InnerOptimizer:
    """Adds decoupled weight decay, computed from the weights before the update."""
    weight_decay = check_non_negative("weight_decay", weight_decay)

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        updates, new = optimizer.update(gradients, state, weights)
        updates = [
            u - rate_at(learning_rate, state, w) * weight_decay * w
            for u, w in zip(updates, weights, strict=True)
        ]
        return updates, new

    return InnerOptimizer(optimizer.init, update)
