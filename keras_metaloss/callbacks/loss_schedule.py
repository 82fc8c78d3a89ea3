"""Callback that updates scheduled weights of losses."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss.losses._core.meta_loss import set_loss_steps

__all__ = ["LossSchedule"]


class LossSchedule(keras.callbacks.Callback):
    """Updates the step of losses that have a scheduled weight.

    Sets the step of each `kml.losses.MetaLoss` to `optimizer.iterations` at the start
    of training and after each training batch, not in evaluation. Only plain Keras
    models need it: the models of this package update the step themselves.

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
        set_loss_steps(self.model.loss, self.model.optimizer.iterations)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        set_loss_steps(self.model.loss, self.model.optimizer.iterations)
