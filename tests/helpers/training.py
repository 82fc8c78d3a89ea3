"""Single steps of training."""

from __future__ import annotations


def step_logs(model, *batch, **arguments):
    """Trains on one batch and returns its logs.

    Early versions of Keras return means over all batches since the last reset.
    """
    model.reset_metrics()
    return model.train_on_batch(*batch, **arguments, return_dict=True)
