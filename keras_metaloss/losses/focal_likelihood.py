"""What the targets say about gamma: a likelihood that the focal loss implies.

Read as an energy, the focal loss of each class gives a distribution over classes,
`q_c = exp(-FL_c) / sum_k exp(-FL_k)`. With gamma = 0 that is the prediction itself, a
larger gamma makes it flatter. The negative log likelihood of the targets under q has a
minimum over gamma, which the focal loss itself does not have.
"""

from __future__ import annotations

import tensorflow as tf

from keras_metaloss.losses.as_floats import as_floats
from keras_metaloss.losses.focal_functions import (
    as_classes_last,
    class_numbers,
    focal_of_log_odds,
)
from keras_metaloss.losses.margins import (
    binary_log_odds,
    class_log_odds,
    log_probabilities,
)
from keras_metaloss.same_rank import same_rank

__all__ = [
    "binary_focal_likelihood",
    "categorical_focal_likelihood",
    "sparse_categorical_focal_likelihood",
]

# Of a class that is ruled out: its energy times a target of 0 has to be 0.
_LEAST_LOGIT = -1e30


def categorical_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
) -> tf.Tensor:
    """`-sum_c y_c log q_c` of each example; arguments as of the focal loss."""
    y_true, y_pred, _ = as_floats(y_true, y_pred)
    y_true, y_pred = as_classes_last(y_true, axis), as_classes_last(y_pred, axis)
    if label_smoothing:
        classes = tf.cast(tf.shape(y_pred)[-1], y_pred.dtype)
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / classes
    logits = y_pred if from_logits else log_probabilities(y_pred)
    log_odds = class_log_odds(tf.maximum(logits, _LEAST_LOGIT))
    energy = focal_of_log_odds(log_odds, tf.cast(gamma, log_odds.dtype))
    expected = tf.reduce_sum(y_true * energy, axis=-1)
    total = tf.reduce_sum(y_true, axis=-1)
    return expected + total * tf.reduce_logsumexp(-energy, axis=-1)


def sparse_categorical_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
) -> tf.Tensor:
    """`-log q_t` of each example; arguments as of the focal loss."""
    labels = class_numbers(y_true, y_pred, axis)
    y_pred = as_classes_last(y_pred, axis)
    targets = tf.one_hot(labels, tf.shape(y_pred)[-1], dtype=y_pred.dtype)
    return categorical_focal_likelihood(
        targets, y_pred, gamma, from_logits, label_smoothing, -1
    )


def binary_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
) -> tf.Tensor:
    """`-y log q - (1 - y) log(1 - q)`, averaged over `axis`."""
    y_true, y_pred = same_rank(*as_floats(y_true, y_pred)[:2])
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    log_odds = y_pred if from_logits else binary_log_odds(y_pred)
    log_odds = tf.clip_by_value(log_odds, _LEAST_LOGIT, -_LEAST_LOGIT)
    gamma = tf.cast(gamma, log_odds.dtype)
    yes, no = focal_of_log_odds(log_odds, gamma), focal_of_log_odds(-log_odds, gamma)
    values = y_true * yes + (1.0 - y_true) * no + tf.math.softplus(yes - no) - yes
    return tf.reduce_mean(values, axis=axis)
