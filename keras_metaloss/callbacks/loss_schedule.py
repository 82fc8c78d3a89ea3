"""Callback that updates scheduled weights of losses."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["LossSchedule"]


class LossSchedule(keras.callbacks.Callback):
    """Updates the step of losses that have a scheduled weight.

    Calls `set_step(optimizer.iterations)` of each loss at the start of training and
    after each training batch, not in evaluation. Not needed for `kml.JointModel`, nor
    for a `kml.losses.RapidGeneralizationLoss` in `kml.MetaModel`: these models update
    the step themselves.

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
