"""Base class of methods that do not differentiate the inner loop."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss.adaptation.gradient_based.gradient_adaptation import (
    GradientAdaptation,
)

__all__ = ["LoopedAdaptation"]


class LoopedAdaptation(GradientAdaptation):
    """Base class of Reptile and iMAML: inner steps in a loop with constant memory.

    Args:
        steps: Number of inner steps in training.
        learning_rate: Non-negative inner step size. `None` uses the learning rate of
            `optimizer`, or 0.01 without an optimizer.
        optimizer: Keras optimizer whose settings define the inner update. `None` uses
            gradient descent.
        evaluation_steps: Number of inner steps in `evaluate`, `predict`, `adapt` and
            `export`. `None` uses `steps`.
        loss: Inner loss. `None` uses the loss passed to `compile`.
        normalization: Statistics used by batch normalization: `"support"`, `"batch"`
            or `"moving"`.
        name: Name of the layer.

    Raises:
        ValueError: If an argument is invalid, or if both `learning_rate` and
            `optimizer` are passed.
    """

    provides_task_gradients = False

    def __init__(
        self,
        steps: int,
        learning_rate: float | None,
        *,
        optimizer: keras.optimizers.Optimizer | None,
        evaluation_steps: int | None,
        loss: Any,
        normalization: str,
        name: str | None,
    ) -> None:
        super().__init__(
            steps,
            learning_rate,
            optimizer=optimizer,
            evaluation_steps=evaluation_steps,
            loss=loss,
            normalization=normalization,
            name=name,
        )
        if normalization == "per_step":
            raise ValueError(
                "Invalid value for argument `normalization`. Expected one of "
                "('support', 'batch', 'moving'): "
                f"{type(self).__name__} has no per-step variables. "
                f"Received: normalization={normalization!r}"
            )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["first_order"]
        return config
