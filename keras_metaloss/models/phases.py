"""Traces the training step anew when the adaptation enters another phase."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["PhaseCallback", "with_phases"]


class PhaseCallback(keras.callbacks.Callback):
    """Asks the adaptation for its phase as each epoch begins.

    Some methods train differently at first (a multi-step loss that fades). What they
    no longer do is left out of the step from the next epoch on.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        adaptation = self.model.adaptation
        phase = adaptation.phase(int(adaptation.updates))
        if phase != adaptation.current_phase:
            adaptation.current_phase = phase
            self.model.make_train_function(force=True)


def with_phases(callbacks: Any) -> Any:
    """`callbacks` as given to `fit`, with a `PhaseCallback` among them."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(PhaseCallback())
        return callbacks
    if callbacks is None:
        callbacks = []
    if isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks]
    return [*callbacks, PhaseCallback()]
