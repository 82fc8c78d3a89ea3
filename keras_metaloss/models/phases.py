"""Retracing of the training step when the adaptation enters another phase."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["PhaseCallback", "with_phases"]


class PhaseCallback(keras.callbacks.Callback):
    """Retraces the training step when the phase of the adaptation changes.

    Some methods change their training step over time, for example when a multi-step
    loss decays to zero. The phase is checked at the beginning of each epoch, so that
    computations that are no longer needed are removed from the graph.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        adaptation = self.model.adaptation
        phase = adaptation.phase(int(adaptation.updates))
        if phase != adaptation.current_phase:
            adaptation.current_phase = phase
            self.model.make_train_function(force=True)


def with_phases(callbacks: Any) -> Any:
    """Adds a `PhaseCallback` to the `callbacks` argument of `fit`."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(PhaseCallback())
        return callbacks
    if callbacks is None:
        callbacks = []
    if isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks]
    return [*callbacks, PhaseCallback()]
