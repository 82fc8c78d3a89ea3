"""Steps that `tf.function` traces once."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["TracedOnce"]


class TracedOnce:
    """Mix-in for a Keras model: the first step takes half the time.

    `tf.function` traces a second time what has created variables, and Keras creates
    those of the optimizer and of compiled metrics in the first step. Here they are
    there before, or are made outside of the graph.
    """

    def make_train_function(self, force: bool = False) -> Any:
        """Builds the optimizer, then the training step."""
        optimizer = self.optimizer
        # A subclassed model may be built, its layers not yet.
        built = self.built and all(x.built for x in _compat.flatten_layers(self))
        if built and optimizer is not None and not optimizer.built:
            with self.distribute_strategy.scope():
                optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, tf.Tensor]:
        """As in Keras."""
        metrics = _compat.compiled_metrics(self)
        if metrics is not None and not metrics.built:
            with _compat.outside_of_the_graph():
                metrics.build(y, y_pred)  # looks at shapes only
        return super().compute_metrics(x, y, y_pred, sample_weight)
