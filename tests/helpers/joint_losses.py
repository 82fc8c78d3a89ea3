"""Predictions of two tasks, their losses and their information."""

from __future__ import annotations

import numpy as np
import tensorflow_probability as tfp

import keras_metaloss as kml


def batch(rows=6, seed=0):
    """Returns targets and predictions of a classification and a regression."""
    rng = np.random.default_rng(seed)
    y_true = {"a": rng.integers(0, 3, rows), "b": rng.normal(size=(rows, 1))}
    y_pred = {"a": rng.normal(size=(rows, 3)), "b": rng.normal(size=(rows, 1))}
    return y_true, {k: v.astype("float32") for k, v in y_pred.items()}


def reference_losses(y_true, y_pred):
    """Computes cross-entropies and squared errors in NumPy."""
    log_p = y_pred["a"] - np.log(np.exp(y_pred["a"]).sum(axis=1, keepdims=True))
    loss_a = -log_p[np.arange(len(log_p)), y_true["a"].astype(int)]
    return loss_a, ((y_true["b"] - y_pred["b"]) ** 2).mean(axis=1)


def information(y_pred, **arguments):
    """Estimates the mutual information of both predictions."""
    return float(
        kml.information.mutual_information(
            tfp.distributions.Categorical(logits=y_pred["a"]),
            tfp.distributions.Deterministic(y_pred["b"][:, 0]),
            **arguments,
        )
    )
