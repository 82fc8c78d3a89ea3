"""Training with backups in a folder, also as a script that a test interrupts."""

from __future__ import annotations

import sys

import keras
import numpy as np

from tests.helpers.meta_models import conv_model, image_episodes


class EpochRecorder(keras.callbacks.Callback):
    """Prints and records each epoch that begins."""

    def __init__(self):
        super().__init__()
        self.begun = []

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(epoch)
        print("begin", epoch, flush=True)


def train(folder, epochs):
    """Trains with backups in `folder`; returns the started epochs and the weights."""
    recorder = EpochRecorder()
    model = conv_model(optimizer=keras.optimizers.Adam(0.01))
    x, y = image_episodes(tasks=40)
    model.fit(
        x,
        y,
        batch_size=2,
        shuffle=False,
        epochs=epochs,
        verbose=0,
        # One of two backups is complete even if the other was being written.
        callbacks=[
            keras.callbacks.BackupAndRestore(folder, double_checkpoint=True),
            recorder,
        ],
    )
    return recorder.begun, np.concatenate([w.ravel() for w in model.get_weights()])


if __name__ == "__main__":
    train(sys.argv[1], epochs=1000)
