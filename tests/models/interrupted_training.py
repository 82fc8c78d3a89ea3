"""A training backed up in a folder; as a program, one to be killed."""

from __future__ import annotations

import sys

import keras
import numpy as np
from model_cases import conv_model, image_episodes


class Tell(keras.callbacks.Callback):
    """Prints and keeps the epochs that begin."""

    def __init__(self):
        super().__init__()
        self.begun = []

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(epoch)
        print("begin", epoch, flush=True)


def train(folder, epochs):
    """Trains, backed up in `folder`; gives the epochs begun here and the weights."""
    tell = Tell()
    model = conv_model(optimizer=keras.optimizers.Adam(0.01))
    x, y = image_episodes(tasks=40)
    model.fit(
        x,
        y,
        batch_size=2,
        shuffle=False,
        epochs=epochs,
        verbose=0,
        # Of two backups one is whole, whatever was being written.
        callbacks=[
            keras.callbacks.BackupAndRestore(folder, double_checkpoint=True),
            tell,
        ],
    )
    return tell.begun, np.concatenate([w.ravel() for w in model.get_weights()])


if __name__ == "__main__":
    train(sys.argv[1], epochs=1000)
