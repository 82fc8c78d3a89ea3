"""What methods have in common whose inner loop is not differentiated."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss.adaptation.gradient import GradientAdaptation

__all__ = ["LoopedAdaptation"]


class LoopedAdaptation(GradientAdaptation):
    """Gradient steps in a loop of constant memory. Base class of Reptile and iMAML.

    Args:
        steps: number of inner updates in training.
        learning_rate: inner step size; `None` is 0.01, or the rate of `optimizer`.
        optimizer: a Keras optimizer whose settings the inner loop takes.
        evaluation_steps: number of inner updates in `evaluate` and so on.
        loss: see `Adaptation`.
        normalization: any but `"per_step"`.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range.
    """

    gives_gradients = False

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
                "('support', 'batch', 'moving'): the inner loop of "
                f"{type(self).__name__} is one loop with no variables a step. "
                f"Received: normalization={normalization!r}"
            )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["first_order"]
        return config
