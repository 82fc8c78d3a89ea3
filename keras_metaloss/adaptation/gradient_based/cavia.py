"""CAVIA: adapts a small context vector; all other weights are shared."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation._core.task import Adapted, Task
from keras_metaloss.adaptation.gradient_based.gradient_adaptation import (
    GradientAdaptation,
)
from keras_metaloss.layers import ContextVector

__all__ = ["CAVIA"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class CAVIA(GradientAdaptation):
    """Gradient steps on the context vectors of a learner, starting from zero.

    `c_0 = 0`, `c_{k+1} = c_k - rate * grad_c L_support(c_k, theta)`. The outer loop
    trains only `theta`. The learner must contain `kml.layers.ContextVector` layers.

    Args:
        steps: Number of inner steps in training. Defaults to `1`.
        learning_rate: Non-negative inner step size. `None` uses the learning rate of
            `optimizer`, or 1.0 (as in the paper) without an optimizer. Defaults to
            `None`.
        optimizer: Keras optimizer (`SGD`, `RMSprop`, `Adam` or `AdamW`) whose
            settings define the inner update. `None` uses gradient descent. Defaults
            to `None`.
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
        ValueError: If an argument is invalid, if both `learning_rate` and `optimizer`
            are passed, or if the learner has no `ContextVector` layer.

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

    default_learning_rate = 1.0

    def build_for(self, learner: keras.Model) -> None:
        super().build_for(learner)
        if not any(self.is_adapted()):
            raise ValueError(
                "Invalid value for argument `learner`. CAVIA expects a learner with "
                "at least one `kml.layers.ContextVector` layer. Received: "
                f"learner={learner.name!r}"
            )

    def initial(self, task: Task) -> Adapted:
        start = super().initial(task)
        # Constants instead of variables, so that the outer loop does not train them.
        zeros = [tf.zeros_like(w) for w in self.select_adapted(start.weights)]
        return start._replace(weights=self.merge_adapted(start.weights, zeros))

    def is_adapted(self) -> list[bool]:
        learner = self._functional.learner
        ids = {
            id(variable)
            for layer in _compat.flatten_layers(learner)
            if isinstance(layer, ContextVector)
            for variable in layer.trainable_variables
        }
        return [id(v) in ids for v in self._functional.weight_variables]
