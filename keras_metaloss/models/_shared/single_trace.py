"""Training and evaluation steps that `tf.function` traces once."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.models._shared.model_mixin import ModelMixin

__all__ = ["SingleTraceMixin"]


class SingleTraceMixin(ModelMixin):
    """Mix-in for Keras models that halves the duration of the first step.

    `tf.function` traces a function twice if the first call creates variables, and
    Keras creates the variables of the optimizer and of compiled metrics in the first
    step. This mix-in creates them before the first step or outside of its graph.
    """

    def make_train_function(self, force: bool = False) -> Any:
        """Builds the optimizer, then the training step."""
        optimizer = self.optimizer
        # A subclassed model may be built before its layers are.
        built = self.built and all(x.built for x in _compat.flatten_layers(self))
        if built and optimizer is not None and not optimizer.built:
            with self.distribute_strategy.scope():
                optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, tf.Tensor]:
        """Builds the metrics, then updates them and returns their results."""
        self.build_metrics(y, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def build_metrics(self, y: Any, y_pred: Any) -> None:
        """Creates the variables of compiled metrics, outside of the traced graph."""
        metrics = _compat.compiled_metrics(self)
        if metrics is not None and not metrics.built:
            with _compat.outside_of_the_graph():
                metrics.build(y, y_pred)  # Uses only the shapes.
