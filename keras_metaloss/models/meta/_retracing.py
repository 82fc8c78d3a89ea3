"""Retracing of the training step when the adaptation changes."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["RetracingCallback"]


class RetracingCallback(keras.callbacks.Callback):
    """Retraces the training step when `Adaptation.trace_key` changes.

    Some methods change their training step over time, for example when a multi-step
    loss decays to zero. The key is checked at the beginning of each epoch, so that
    computations that are no longer needed are removed from the graph.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        adaptation = self.model.adaptation
        key = adaptation.trace_key(int(adaptation.updates))
        if key != adaptation.current_trace_key:
            adaptation.current_trace_key = key
            self.model.make_train_function(force=True)
