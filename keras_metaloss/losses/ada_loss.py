"""Weighs each example by the gradient of its loss."""

from __future__ import annotations

import contextlib
import numbers
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.as_loss import as_loss
from keras_metaloss.checks import check_choice, check_positive_integer
from keras_metaloss.dtypes import wide_dtype
from keras_metaloss.losses.class_number_loss import ClassNumbers
from keras_metaloss.losses.compiled_loops import row_sums
from keras_metaloss.losses.gradient_norms import values_and_gradient_norms
from keras_metaloss.losses.metric.embedding_loss import masked_mean
from keras_metaloss.per_example import is_per_example
from keras_metaloss.same_rank import with_missing_axis

__all__ = ["AdaLoss", "GradientStatistics", "ada_loss"]

_GRADIENTS = ("output", "last_layer", "parameters")
_ALPHAS = ("norm", "standardized", "cosine")


class GradientStatistics(NamedTuple):
    """What is known of the gradients of the examples of a batch, `[N]` each."""

    norms: tf.Tensor
    #: Cosine with the mean gradient of the batch; `None` where nobody asked for it.
    cosines: tf.Tensor | None = None
    #: Which examples count in means over the batch; `None`: all.
    mask: tf.Tensor | None = None


# Their targets are whole numbers, which bfloat16 would round.
_OF_CLASS_NUMBERS = (ClassNumbers, keras.losses.SparseCategoricalCrossentropy)


def ada_loss(
    y_true: Any,
    y_pred: Any,
    loss: keras.losses.Loss | str | Callable,
    alpha: str | Callable = "norm",
    direction: str = "hard",
) -> tf.Tensor:
    """Weighs each example's loss by the size of its gradient by the prediction.

    `sigmoid(alpha_i) L_i`, with alpha_i made from the gradient of L_i by the
    prediction; the weight is a constant for differentiation.

    Args:
        y_true: targets, as the loss takes them.
        y_pred: predictions, as the loss takes them.
        loss: a Keras loss, its name, or a function `(y_true, y_pred) -> values`.
        alpha: `"norm"`, `"standardized"`, `"cosine"` or a function, see
            `kml.losses.AdaLoss`.
        direction: `"hard"` or `"easy"`.

    Returns:
        Tensor of the shape of what the loss returns.

    Raises:
        ValueError: if an argument is unknown.

    Example:

    >>> import keras_metaloss as kml
    >>> y_true, y_pred = [[0.0], [0.0]], [[1.0], [3.0]]
    >>> weighted = kml.losses.ada_loss(y_true, y_pred, "mse", alpha="standardized")
    >>> weighted.numpy().round(3)                       # sigmoid(-+1) * [1, 9]
    array([0.269, 6.58 ], dtype=float32)

    Reference:
        "Adaptive loss functions", section 4.2.
    """
    y_pred = keras.ops.convert_to_tensor(y_pred)
    weigher = AdaLoss(loss, alpha=alpha, direction=direction)
    return weigher.call(keras.ops.convert_to_tensor(y_true), y_pred)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class AdaLoss(keras.losses.Loss):
    """Weighs each example's loss by the size or direction of its gradient.

    `L = (1 / N) sum_i sigmoid(alpha_i) L_i`, with alpha_i made from the gradient g_i of
    L_i. The weight is a constant for differentiation. An example is an entry of what
    the wrapped loss returns, a pixel or time step say; with a gradient by parameters
    it is an entry of the batch.

    A norm is never negative, so `alpha="norm"` gives weights in [0.5, 1) only;
    `"standardized"` uses the whole range. The mean and deviation are those of the
    batch (with several replicas, of each one's share), without what a Keras mask or
    `ignore_class` leaves out.

    Args:
        loss: a Keras loss, its name, or a function `(y_true, y_pred) -> values`. Its
            own reduction is not used.
        gradient: by what L_i is differentiated. `"output"`: the prediction, in any
            model. `"last_layer"`: kernel and bias of the last layer, a `Dense` one.
            `"parameters"`: all trained weights of the network, exactly. The latter two
            need `kml.AdaptiveLossModel` and are computed in inference mode, with a
            second pass through the network.
        alpha: `"norm"`: `alpha_i = ||g_i||`. `"standardized"`: less its mean over the
            batch, over its population deviation; 0 if all norms are equal. `"cosine"`:
            the cosine of g_i with the mean gradient of the batch. Or a function
            `norms [N] -> alpha [N]`.
        direction: `"hard"` as above: a large gradient counts more; `"easy"` changes
            the sign of alpha: outliers count less.
        chunk_size: with `gradient="parameters"`, how many examples' gradients are held
            in memory at a time.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Raises:
        ValueError: if an argument is unknown, or the gradient needs
            `kml.AdaptiveLossModel` and the model is another.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> loss = kml.losses.AdaLoss(keras.losses.MeanSquaredError(), direction="easy",
    ...                           alpha="standardized", reduction=None)
    >>> loss([[0.0], [0.0]], [[1.0], [3.0]]).numpy().round(3)   # sigmoid(+-1) * [1, 9]
    array([0.731, 2.42 ], dtype=float32)

    Reference:
        "Adaptive loss functions", section 4.2, which gives the formula and leaves alpha
        to "the norm of the gradient".
    """

    def __init__(
        self,
        loss: keras.losses.Loss | str | Callable,
        gradient: str = "output",
        alpha: str | Callable = "norm",
        direction: str = "hard",
        chunk_size: int = 32,
        name: str = "ada_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.loss = as_loss("loss", loss)
        self.gradient = check_choice("gradient", gradient, _GRADIENTS)
        if not callable(alpha):
            alpha = check_choice("alpha", alpha, _ALPHAS)
        self.alpha = alpha
        self.direction = check_choice("direction", direction, ("hard", "easy"))
        self.chunk_size = check_positive_integer("chunk_size", chunk_size)
        self._given = _Given()

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        # Read before Keras casts predictions, which loses it.
        with self._given.masked(_compat.keras_mask(y_pred)):
            if isinstance(self.loss, _OF_CLASS_NUMBERS):
                return ClassNumbers.__call__(self, y_true, y_pred, sample_weight)
            return super().__call__(y_true, y_pred, sample_weight)

    @property
    def needs_model(self) -> bool:
        """Whether a model has to compute the gradients."""
        return self.gradient != "output"

    @contextlib.contextmanager
    def given(self, statistics: GradientStatistics) -> Iterator[None]:
        """Within the context these are the gradients of the batch at hand."""
        self._given.statistics = statistics
        try:
            yield
        finally:
            self._given.statistics = None

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        if y_true.shape.rank == y_pred.shape.rank == 1 and is_per_example(self.loss):
            # Keras's losses average over the last axis, here that of examples.
            y_true, y_pred = y_true[:, tf.newaxis], y_pred[:, tf.newaxis]
        if self.needs_model:
            values, statistics = self.loss.call(y_true, y_pred), self._given.statistics
        else:
            values, statistics = self._values_and_statistics(y_true, y_pred)
        mask = _compat.keras_mask(values)  # false for what `ignore_class` says
        if values.shape.rank == 0:
            raise ValueError(
                "Invalid value for argument `loss`. Expected a loss whose `call` "
                "returns one value an example. Received a scalar from: "
                f"loss={self.loss}"
            )
        if statistics is None:
            raise ValueError(
                f"An `AdaLoss(gradient={self.gradient!r})` needs gradients by "
                "weights of the network, which `kml.AdaptiveLossModel` computes: "
                "compile such a model with it, or use `gradient='output'`. "
                "Received: a call without them"
            )
        alpha = tf.cast(self.alphas(statistics), values.dtype)
        shape = tf.concat(
            [tf.shape(alpha), tf.ones([values.shape.rank - alpha.shape.rank], "int32")],
            axis=0,
        )
        weight = tf.reshape(tf.stop_gradient(tf.sigmoid(alpha)), shape)
        values = tf.cast(weight * values, y_pred.dtype)
        _compat.add_keras_mask(values, mask)
        return values

    def alphas(self, statistics: GradientStatistics) -> tf.Tensor:
        """`alpha_i` of each example."""
        norms = statistics.norms
        if callable(self.alpha):
            alpha = self.alpha(norms)
        elif self.alpha == "norm":
            alpha = norms
        elif self.alpha == "cosine":
            alpha = statistics.cosines
        else:
            mean = _mean(norms, statistics.mask)
            deviation = norms - mean
            spread = tf.sqrt(_mean(tf.square(deviation), statistics.mask))
            # Equal norms differ by rounding, which must not decide.
            least = 1e-6 * mean
            alpha = tf.where(
                spread > least,
                deviation / tf.where(spread > least, spread, tf.ones_like(spread)),
                tf.zeros_like(deviation),
            )
        return -alpha if self.direction == "easy" else alpha

    def _values_and_statistics(self, y_true, y_pred):
        """Values of the loss, and what their gradients by predictions are like."""
        wide = wide_dtype(y_pred.dtype)
        y_true, y_pred = with_missing_axis(tf.cast(y_true, wide), tf.cast(y_pred, wide))
        if self.alpha != "cosine":
            known = values_and_gradient_norms(self.loss, y_true, y_pred)
            if known is not None:
                mask = _mask_like(known[1], self._given.mask)
                return known[0], GradientStatistics(known[1], mask=mask)
        values, gradient = _value_and_gradient(self.loss, y_true, y_pred)
        norms = tf.sqrt(row_sums(tf.square(gradient)))
        mask = _mask_like(norms, self._given.mask, _compat.keras_mask(values))
        if self.alpha != "cosine":
            return values, GradientStatistics(norms, mask=mask)
        batch = list(range(values.shape.rank))
        kept = gradient
        if mask is not None:
            kept = tf.where(mask[..., tf.newaxis], gradient, tf.zeros_like(gradient))
        mean = tf.reduce_sum(kept, axis=batch, keepdims=True)
        lengths = norms * tf.sqrt(tf.reduce_sum(tf.square(mean)))
        cosines = tf.math.divide_no_nan(row_sums(gradient * mean), lengths)
        return values, GradientStatistics(norms, cosines, mask)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "loss": serialize(self.loss),
            "gradient": self.gradient,
            "alpha": serialize(self.alpha),
            "direction": self.direction,
            "chunk_size": self.chunk_size,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AdaLoss:
        config = dict(config)
        for key in ("loss", "alpha"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def _value_and_gradient(loss, y_true, y_pred):
    """Values `[...]` of a loss, and their gradients `[..., D]` as constants."""
    axis = _compat.axis_of_loss(loss)
    # From logits behind predictions, values would not depend on the predictions.
    is_direct = not _compat.is_made_of_logits(y_pred)
    # What is ignored is said by a mask of the values.
    ignores = getattr(loss, "ignore_class", None) is not None
    if is_per_example(loss) and axis == -1 and is_direct and not ignores:
        values, gradient = _computed_once(loss, y_true, y_pred)
        return values, tf.stop_gradient(gradient)
    values = loss.call(y_true, y_pred)
    constant = tf.stop_gradient(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(constant)
        again = loss.call(y_true, constant)
    gradient = tape.gradient(again, constant)
    rank, more = y_pred.shape.rank, y_pred.shape.rank - values.shape.rank
    is_one_axis = more == 1 and isinstance(axis, numbers.Integral)
    axes = [int(axis) % rank] if is_one_axis else list(range(rank - more, rank))
    order = [i for i in range(rank) if i not in axes] + axes
    shape = tf.concat([tf.shape(values), [-1]], axis=0)
    return values, tf.reshape(tf.transpose(gradient, order), shape)


def _computed_once(loss, y_true, y_pred):
    """The same where a value depends on its row of predictions and targets alone."""

    @tf.custom_gradient
    def both(y_true, y_pred):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([y_true, y_pred])
            values = loss.call(y_true, y_pred)
        each = tape.gradient(values, y_pred)

        def gradient(upstream, _):
            by_true = tape.gradient(values, y_true, upstream)
            return by_true, upstream[..., tf.newaxis] * each

        return (values, each), gradient

    return both(y_true, y_pred)


def _mask_like(values, *masks):
    """Which values count, by all masks that there are, or `None`."""
    found = [mask for mask in masks if mask is not None]
    if not found:
        return None
    counts, rank = tf.ones_like(values, dtype=tf.bool), values.shape.rank
    for mask in found:
        # A value counts with any part of it; a mask may lack last axes.
        axes = list(range(rank, mask.shape.rank))
        mask = tf.reduce_any(tf.cast(mask, tf.bool), axis=axes)
        missing = tf.ones([rank - mask.shape.rank], tf.int32)
        counts &= tf.reshape(mask, tf.concat([tf.shape(mask), missing], axis=0))
    return counts


def _mean(values, mask):
    return tf.reduce_mean(values) if mask is None else masked_mean(values, mask, None)


class _Given(threading.local):
    """What is known of the batch at hand: replicas run in threads of their own."""

    statistics = None
    mask = None

    @contextlib.contextmanager
    def masked(self, mask):
        self.mask = mask
        try:
            yield
        finally:
            self.mask = None

    def __deepcopy__(self, memo):
        return _Given()

    def __reduce__(self):
        return (_Given, ())
