"""Callback that ends the epochs of a task weighting."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss.losses.weighting import TaskWeighting

__all__ = ["EndOfEpoch"]


class EndOfEpoch(keras.callbacks.Callback):
    """Calls `end_epoch` of a weighting after each epoch of training.

    Args:
        weighting: The weighting of a `MultiTaskModel`.
    """

    def __init__(self, weighting: TaskWeighting) -> None:
        super().__init__()
        self._weighting = weighting

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._weighting.end_epoch()
