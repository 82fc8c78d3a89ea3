"""Meta-SGD: learns initialization, update directions and learning rates."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation._core.functional_learner import Weights
from keras_metaloss.adaptation.gradient_based.gradient_adaptation import (
    GradientAdaptation,
)

__all__ = ["MetaSGD"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MetaSGD(GradientAdaptation):
    """Gradient steps with one trained learning rate per weight entry.

    `theta_{k+1} = theta_k - alpha * grad L_support(theta_k)`, an elementwise product.
    `alpha` has the shape of `theta`; the outer loop trains both. Entries of `alpha` may
    become negative.

    Args:
        steps: Number of inner steps in training. The paper uses 1. Defaults to `1`.
        learning_rate: Initial value of `alpha`: a non-negative float or a Keras
            initializer. The paper samples from U[0.005, 0.1]:
            `keras.initializers.RandomUniform(0.005, 0.1)`. Defaults to `0.01`.
        first_order: Whether the outer loop treats inner gradients as constants.
            Defaults to `False`.
        evaluation_steps: Number of inner steps in `evaluate`, `predict`, `adapt` and
            `export`. `None` uses `steps`. Defaults to `None`.
        loss: Inner loss: a Keras loss, or a structure of losses for learners with
            several outputs. `None` uses the loss passed to `compile`. Defaults to
            `None`.
        normalization: Statistics used by batch normalization: `"support"` (of the
            support set, also for queries), `"batch"` (of the queries for queries,
            which is transductive), `"moving"` (moving averages in evaluation) or
            `"per_step"` (like `"support"`, with a separate scale and shift for each
            inner step). Defaults to `"support"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model = kml.MetaModel(learner, kml.adaptation.MetaSGD(learning_rate=0.05))
    >>> [tuple(rate.shape) for rate in model.adaptation.rates]
    [(3, 2), (2,)]

    Reference:
        Li et al., "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017,
        equation 2 and algorithm 1.
    """

    loops_evaluation = True

    def __init__(
        self,
        steps: int = 1,
        learning_rate: float | keras.initializers.Initializer = 0.01,
        *,
        first_order: bool = False,
        evaluation_steps: int | None = None,
        loss: Any = None,
        normalization: str = "support",
        name: str | None = None,
    ) -> None:
        is_initializer = isinstance(learning_rate, keras.initializers.Initializer)
        super().__init__(
            steps,
            None if is_initializer else learning_rate,
            first_order=first_order,
            evaluation_steps=evaluation_steps,
            loss=loss,
            normalization=normalization,
            name=name,
        )
        if is_initializer:
            self.learning_rate = learning_rate

    def build_for(self, learner: keras.Model) -> None:
        super().build_for(learner)
        start = self.learning_rate
        if not isinstance(start, keras.initializers.Initializer):
            start = keras.initializers.Constant(start)
        self.rates = [
            self.add_weight(
                name=f"rate_{index}",
                shape=variable.shape,
                dtype=variable.dtype,
                initializer=start,
            )
            for index, variable in enumerate(learner.trainable_variables)
        ]

    def update(
        self,
        step: int | tf.Tensor,
        gradients: Weights,
        optimizer_state: Any,
        weights: Weights,
    ) -> tuple[Weights, Any]:
        rates = [tf.convert_to_tensor(rate) for rate in self.rates]
        new = [w - a * g for w, a, g in zip(weights, rates, gradients, strict=True)]
        return new, optimizer_state

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["optimizer"]
        rate = self.learning_rate
        if isinstance(rate, keras.initializers.Initializer):
            rate = keras.saving.serialize_keras_object(rate)
        return {**config, "learning_rate": rate}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MetaSGD:
        if isinstance(config["learning_rate"], dict):
            rate = keras.saving.deserialize_keras_object(config["learning_rate"])
            config = {**config, "learning_rate": rate}
        return super().from_config(config)
