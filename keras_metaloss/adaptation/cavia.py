"""Adapts a small context vector; everything else is shared by all tasks."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation.base import Adapted, Task
from keras_metaloss.adaptation.gradient import GradientAdaptation
from keras_metaloss.layers import ContextVector

__all__ = ["CAVIA"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class CAVIA(GradientAdaptation):
    """Gradient steps on the context vectors of a learner, which start from zero.

    `c_0 = 0`, `c_{k+1} = c_k - rate * grad_c L_support(c_k, theta)`; the outer loop
    trains `theta` alone. The learner contains `kml.layers.ContextVector` layers.

    Args:
        steps: number of inner updates in training.
        learning_rate: inner step size; `None` is 1.0, as in the paper, or the rate of
            `optimizer`.
        optimizer: as in `kml.adaptation.MAML`.
        first_order: as in `kml.adaptation.MAML`.
        evaluation_steps: as in `kml.adaptation.MAML`.
        loss: as in `kml.adaptation.MAML`.
        normalization: as in `kml.adaptation.MAML`.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range or the learner has no
            `ContextVector` layer.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = keras.Sequential([keras.Input((1,)), kml.layers.ContextVector(4),
    ...     keras.layers.Dense(40, "relu"), keras.layers.Dense(1)])
    >>> model = kml.MetaModel(learner, kml.adaptation.CAVIA(2, learning_rate=1.0))
    >>> model.compile(optimizer="adam", loss="mse")

    Reference:
        Zintgraf et al., "Fast Context Adaptation via Meta-Learning", 2019, equations 2
        and 3.
    """

    default_rate = 1.0

    def attach(self, learner: keras.Model) -> None:
        super().attach(learner)
        if not any(self.is_adapted()):
            raise ValueError(
                "Expected a learner with `kml.layers.ContextVector` layers, the only "
                f"ones that CAVIA adapts. Received: learner={learner.name!r} without"
            )

    def initial(self, task: Task) -> Adapted:
        start = super().initial(task)
        # Constants, not the variables: the outer loop is not to move them.
        zeros = [tf.zeros_like(w) for w in self.chosen(start.weights)]
        return start._replace(weights=self.put_back(start.weights, zeros))

    def is_adapted(self) -> list[bool]:
        learner = self._functional.learner
        ids = {
            id(variable)
            for layer in _compat.flatten_layers(learner)
            if isinstance(layer, ContextVector)
            for variable in layer.trainable_variables
        }
        return [id(v) in ids for v in self._functional.weight_variables]
