"""Lets a scheduled weight inside a loss follow the optimizer."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["LossSchedule"]


class LossSchedule(keras.callbacks.Callback):
    """Tells losses with a scheduled weight how many updates have been made.

    For models other than `kml.MetaModel`, which does it itself. A loss is told by its
    `set_step` after each batch of training, never in evaluation.

    Example:

    >>> import keras, numpy as np, keras_metaloss as kml
    >>> ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    >>> loss = kml.losses.RapidGeneralizationLoss(
    ...     "mse", kml.losses.TaskLossVariance(), lambda_weight=ramp)
    >>> model = keras.Sequential([keras.Input((4, 2)), keras.layers.Dense(1)])
    >>> model.compile(optimizer="sgd", loss=loss)
    >>> x, y = np.zeros((6, 4, 2)), np.ones((6, 4, 1))
    >>> _ = model.fit(x, y, batch_size=2, callbacks=[LossSchedule()], verbose=0)
    >>> int(loss.step)
    3
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._tell()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._tell()

    def _tell(self):
        for loss in keras.tree.flatten(self.model.loss):
            if hasattr(loss, "set_step"):
                loss.set_step(self.model.optimizer.iterations)
