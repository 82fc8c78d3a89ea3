"""MAML with the remedies that make its training stable."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation.base import Adapted, Task
from keras_metaloss.adaptation.functional import Weights
from keras_metaloss.adaptation.gradient import GradientAdaptation
from keras_metaloss.adaptation.inner_loss import InnerLoss
from keras_metaloss.checks import check_non_negative

__all__ = ["MAMLPlusPlus"]

# The authors' code never lets an early step's weight fall below this, divided by K.
_LEAST_WEIGHT = 0.03


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MAMLPlusPlus(GradientAdaptation):
    """MAML with rates per layer and step, a multi-step loss, and annealed order.

    - Inner rates: one learned number for each weight tensor and inner step.
    - Multi-step loss: the outer loss is `sum_k v_k L_query(theta_k)` over the inner
      steps k = 1..K. `v` starts at `1/K` each and moves to the last step alone over
      `multi_step_updates` outer updates.
    - Batch normalisation with scale and shift of each inner step and the moments of
      the support set (`normalization="per_step"`). The paper's moving averages of each
      step fit no single task; the authors' code does not use them either.
    - Derivative order: `first_order_updates` outer updates with first-order
      gradients, then second order.

    The paper lets the outer rate fall by a cosine: compile with
    `keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, updates))`.

    Args:
        steps: number of inner updates K in training.
        learning_rate: what the inner rates start from.
        multi_step_updates: outer updates over which the multi-step loss fades; 0 for
            the last step alone from the start.
        first_order_updates: outer updates made with first-order gradients; 0 for none.
        evaluation_steps: number of inner updates in `evaluate` and so on; those beyond
            `steps` repeat the last rates. `None` takes `steps`.
        loss: as in `kml.adaptation.MAML`.
        normalization: as in `kml.adaptation.MAML`.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = kml.learners.conv4((28, 28, 1), classes=5, filters=8)
    >>> adaptation = kml.adaptation.MAMLPlusPlus(steps=3, multi_step_updates=100)
    >>> model = kml.MetaModel(learner, adaptation)
    >>> [round(float(v), 3) for v in adaptation.outer_weights()]
    [0.333, 0.333, 0.333]

    Reference:
        Antoniou et al., "How to train your MAML", 2019, section 4.
    """

    counts_updates = True

    def __init__(
        self,
        steps: int = 5,
        learning_rate: float | None = None,
        *,
        multi_step_updates: int = 0,
        first_order_updates: int = 0,
        evaluation_steps: int | None = None,
        loss: Any = None,
        normalization: str = "per_step",
        name: str | None = None,
    ) -> None:
        super().__init__(
            steps,
            learning_rate,
            evaluation_steps=evaluation_steps,
            loss=loss,
            normalization=normalization,
            name=name,
        )
        self.multi_step_updates = int(
            check_non_negative("multi_step_updates", multi_step_updates)
        )
        self.first_order_updates = int(
            check_non_negative("first_order_updates", first_order_updates)
        )

    def attach(self, learner: keras.Model) -> None:
        super().attach(learner)
        self.rates = self.add_weight(
            name="rates",
            shape=(self.steps, len(learner.trainable_variables)),
            initializer=keras.initializers.Constant(self.learning_rate),
        )

    def phase(self, updates: int) -> Any:
        """Changes when the multi-step loss has faded: then it costs nothing more."""
        return updates < self.multi_step_updates

    def outer_path(
        self, task: Task, inner_loss: InnerLoss, *, training: bool
    ) -> list[Adapted]:
        path = self.path(task, inner_loss, training=training)
        return path if training and self.current_phase else path[-1:]

    def outer_weights(self) -> tf.Tensor | None:
        """Shares `v_k` of the inner steps in the outer loss, `[K]`, of sum 1."""
        if not self.current_phase:
            return None
        least = _LEAST_WEIGHT / self.steps
        done = tf.cast(self.updates / self.multi_step_updates, tf.float32)
        early = tf.maximum((1.0 - done) / self.steps, least)
        early = tf.where(done < 1.0, early, 0.0) * tf.ones([self.steps - 1])
        return tf.concat([early, [1.0 - tf.reduce_sum(early)]], axis=0)

    def gradients(
        self, adapted: Adapted, task: Task, inner_loss: InnerLoss, *, training: bool
    ) -> tuple[Weights, Any]:
        gradients, state = super().gradients(
            adapted, task, inner_loss, training=training
        )
        if not self.first_order_updates:
            return gradients, state
        second = self.updates >= self.first_order_updates
        return [_stopped_unless(second, g) for g in gradients], state

    def update(
        self, step: int, gradients: Weights, optimizer_state: Any, weights: Weights
    ) -> tuple[Weights, Any]:
        rates = tf.convert_to_tensor(self.rates)[min(step, self.steps - 1)]
        new = [
            w - tf.cast(rates[index], w.dtype) * g
            for index, (w, g) in enumerate(zip(weights, gradients, strict=True))
        ]
        return new, optimizer_state

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["optimizer"], config["first_order"]
        return {
            **config,
            "multi_step_updates": self.multi_step_updates,
            "first_order_updates": self.first_order_updates,
        }


def _stopped_unless(condition, value):
    share = tf.cast(condition, value.dtype)
    return share * value + (1.0 - share) * tf.stop_gradient(value)
