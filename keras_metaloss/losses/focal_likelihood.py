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
)
from keras_metaloss.losses.focal_kernels import binary_focal_terms, class_focal_terms
from keras_metaloss.losses.margins import (
    binary_log_odds,
    log_probabilities,
)
from keras_metaloss.same_rank import same_rank

__all__ = [
    "binary_focal_likelihood",
    "categorical_focal_likelihood",
    "sparse_categorical_focal_likelihood",
    "with_gradient_of_likelihood",
]

# Of a class that is ruled out: its energy times a target of 0 has to be 0.
_LEAST_LOGIT = -1e30

# Gamma is a single number: of larger batches a part says enough about it.
_ENOUGH_PREDICTIONS = 2**15
_ENOUGH_EXAMPLES = 256


def categorical_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """`-sum_c y_c log q_c` of examples, and which these are.

    Args:
        y_true: as of the focal loss, like all other arguments.
        y_pred: predictions.
        gamma: scalar.
        from_logits: whether predictions are logits.
        label_smoothing: share of each target that is spread over all classes.
        axis: axis of the classes.

    Returns:
        Values `[M]` and numbers `[M]` of M examples of the batch, counted over all axes
        but that of the classes: all examples if the batch is not large.
    """
    y_true, y_pred, _ = as_floats(y_true, y_pred)
    y_true, y_pred = _rows(y_true, axis), _rows(y_pred, axis)
    chosen = _enough_of(y_pred)
    y_true, y_pred = tf.gather(y_true, chosen), tf.gather(y_pred, chosen)
    values = _categorical(y_true, y_pred, gamma, from_logits, label_smoothing)
    return values, chosen


def sparse_categorical_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """`-log q_t` of examples and their numbers, as for distributions over classes."""
    labels = tf.reshape(class_numbers(y_true, y_pred, axis), [-1])
    y_pred = _rows(as_floats(0.0, y_pred)[1], axis)
    chosen = _enough_of(y_pred)
    y_pred = tf.gather(y_pred, chosen)
    targets = tf.one_hot(
        tf.gather(labels, chosen), tf.shape(y_pred)[-1], dtype=y_pred.dtype
    )
    values = _categorical(targets, y_pred, gamma, from_logits, label_smoothing)
    return values, chosen


def binary_focal_likelihood(
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    gamma: tf.Tensor,
    from_logits: bool,
    label_smoothing: float,
    axis: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """`-y log q - (1 - y) log(1 - q)`, averaged over `axis`, and of which examples."""
    y_true, y_pred = same_rank(*as_floats(y_true, y_pred)[:2])
    y_true, y_pred = _rows(y_true, axis), _rows(y_pred, axis)
    chosen = _enough_of(y_pred)
    y_true, y_pred = tf.gather(y_true, chosen), tf.gather(y_pred, chosen)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    log_odds = y_pred if from_logits else binary_log_odds(y_pred)
    log_odds = tf.clip_by_value(log_odds, _LEAST_LOGIT, -_LEAST_LOGIT)
    yes, no = binary_focal_terms(log_odds, tf.cast(gamma, log_odds.dtype))
    values = y_true * yes + (1.0 - y_true) * no + tf.math.softplus(yes - no) - yes
    return tf.reduce_mean(values, axis=-1), chosen


def with_gradient_of_likelihood(
    values: tf.Tensor, likelihood: tf.Tensor, chosen: tf.Tensor
) -> tf.Tensor:
    """`values`, with the gradient of a likelihood beside their own.

    Args:
        values: losses of all examples, `[...]`.
        likelihood: that of some of them, `[M]`, which stands for the whole batch.
        chosen: their numbers, `[M]`.

    Returns:
        Tensor like `values`.
    """

    @tf.custom_gradient
    def handed_over(values, likelihood):
        def gradient(upstream):
            each = tf.gather(tf.reshape(upstream, [-1]), chosen)
            share = tf.cast(tf.size(upstream) / tf.size(chosen), likelihood.dtype)
            return upstream, share * tf.cast(each, likelihood.dtype)

        return tf.identity(values), gradient

    return handed_over(values, likelihood)


def _categorical(y_true, y_pred, gamma, from_logits, label_smoothing):
    if label_smoothing:
        classes = tf.cast(tf.shape(y_pred)[-1], y_pred.dtype)
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / classes
    logits = y_pred if from_logits else log_probabilities(y_pred)
    logits = tf.maximum(logits, _LEAST_LOGIT)
    energy = class_focal_terms(logits, tf.cast(gamma, logits.dtype))
    expected = tf.reduce_sum(y_true * energy, axis=-1)
    total = tf.reduce_sum(y_true, axis=-1)
    return expected + total * tf.reduce_logsumexp(-energy, axis=-1)


def _rows(tensor, axis):
    """`[examples, classes]`."""
    tensor = as_classes_last(tensor, axis)
    return tf.reshape(tensor, [-1, tf.shape(tensor)[-1]])


def _enough_of(rows):
    """Numbers of rows, spread evenly, yet in step with no pattern in them."""
    count, columns = tf.unstack(tf.shape(rows))
    enough = tf.maximum(_ENOUGH_PREDICTIONS // columns, _ENOUGH_EXAMPLES)
    enough = tf.minimum(enough, count)
    place = tf.range(enough, dtype=tf.int32)
    step = tf.cast(count, tf.float64) / tf.cast(tf.maximum(enough, 1), tf.float64)
    place = tf.cast(place, tf.float64)
    # The golden ratio: one row out of each interval, now here, now there.
    shift = tf.math.floormod(place * 0.6180339887498949, 1.0)
    return tf.minimum(tf.cast((place + shift) * step, tf.int32), count - 1)
