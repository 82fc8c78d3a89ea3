"""Losses that weight each example by the gradient of its loss."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.checks import check_choice, check_positive_integer
from keras_metaloss._utils.dtypes import wide_dtype
from keras_metaloss._utils.masks import combine_masks, masked_mean
from keras_metaloss._utils.shapes import append_axes, expand_to_same_rank
from keras_metaloss._utils.xla import sum_last_axis
from keras_metaloss.losses._core.loss_context import GradientStatistics, LossContext
from keras_metaloss.losses._core.meta_loss import MetaLoss, OutputKind, loss_values
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses._core.traits import keras_function, traits_of
from keras_metaloss.losses.ada._gradient_norms import values_and_gradient_norms

__all__ = ["AdaLoss", "ada_loss"]

_GRADIENTS = ("output", "last_layer", "parameters")
_ALPHAS = ("norm", "standardized", "cosine")


def ada_loss(
    y_true: Any,
    y_pred: Any,
    loss: keras.losses.Loss | str | Callable,
    alpha: str | Callable = "norm",
    direction: str = "hard",
) -> tf.Tensor:
    """Computes per-example losses weighted by the gradient of each example.

    `sigmoid(alpha_i) L_i`, where `alpha_i` is computed from the gradient `g_i` of
    `L_i` with respect to the predictions. The weights are treated as constants: no
    gradient flows through them.

    Args:
        y_true: Targets, in the shape that `loss` expects.
        y_pred: Predictions, in the shape that `loss` expects.
        loss: A Keras loss, its name, or a function `(y_true, y_pred) -> values`.
        alpha: `"norm"`: `alpha_i = ||g_i||`. `"standardized"`: the norm minus its
            mean over the batch, divided by its population standard deviation (0 if
            all norms are equal). `"cosine"`: the cosine of `g_i` with the mean
            gradient of the batch. Or a function that maps norms `[N]` to alphas
            `[N]`. Defaults to `"norm"`.
        direction: `"hard"` gives examples with large gradients a larger weight;
            `"easy"` flips the sign of alpha, so outliers get a smaller weight.
            Defaults to `"hard"`.

    Returns:
        Per-example losses, in the shape that `loss` returns.

    Raises:
        ValueError: If an argument has an unknown value.

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
    weighted = AdaLoss(loss, alpha=alpha, direction=direction)
    return weighted.call(keras.ops.convert_to_tensor(y_true), y_pred)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class AdaLoss(MetaLoss):
    """Weights each example's loss by the norm or direction of its gradient.

    `L = (1 / N) sum_i sigmoid(alpha_i) L_i`, where `alpha_i` is computed from the
    gradient `g_i` of `L_i`. The weights are treated as constants: no gradient flows
    through them. With `gradient="output"`, an example is one entry of the values that
    the wrapped loss returns, such as a pixel or a time step. Otherwise, an example is
    one entry of the batch.

    Norms are non-negative, so `alpha="norm"` gives weights in [0.5, 1);
    `"standardized"` uses the whole range (0, 1). The mean and standard deviation are
    computed over the batch (over the local batch of each replica under a distribution
    strategy), without the entries that a Keras mask or `ignore_class` excludes.

    Args:
        loss: A Keras loss, its name, or a function `(y_true, y_pred) -> values`. Its
            reduction is not used.
        gradient: Selects the variables that `L_i` is differentiated with respect to.
            `"output"`: the predictions; works with any model. `"last_layer"`: the
            kernel and bias of the last layer, which must be a `Dense` layer.
            `"parameters"`: all trainable weights of the network, computed exactly.
            The latter two require `kml.AdaptiveLossModel` and use a second forward
            pass in inference mode. Defaults to `"output"`.
        alpha: `"norm"`: `alpha_i = ||g_i||`. `"standardized"`: the norm minus its
            mean over the batch, divided by its population standard deviation (0 if
            all norms are equal). `"cosine"`: the cosine of `g_i` with the mean
            gradient of the batch. Or a function that maps norms `[N]` to alphas
            `[N]`. Defaults to `"norm"`.
        direction: `"hard"` gives examples with large gradients a larger weight;
            `"easy"` flips the sign of alpha, so outliers get a smaller weight.
            Defaults to `"hard"`.
        chunk_size: Number of examples whose gradients are held in memory at the same
            time; only used with `gradient="parameters"`. Defaults to `32`.
        name: Name of the loss. Defaults to `"ada_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Targets, in the shape that `loss` expects.
        y_pred: Predictions, in the shape that `loss` expects.
        sample_weight: Optional weights, broadcastable to the per-example losses.

    Raises:
        ValueError: If an argument has an unknown value, or if `gradient` requires
            `kml.AdaptiveLossModel` and another model is trained.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> loss = kml.losses.AdaLoss(keras.losses.MeanSquaredError(), direction="easy",
    ...                           alpha="standardized", reduction=None)
    >>> loss([[0.0], [0.0]], [[1.0], [3.0]]).numpy().round(3)   # sigmoid(+-1) * [1, 9]
    array([0.731, 2.42 ], dtype=float32)

    Reference:
        "Adaptive loss functions", section 4.2, which gives the formula and defines
        alpha only as "the norm of the gradient".
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
        self.loss = standardize_loss("loss", loss)
        self.gradient = check_choice("gradient", gradient, _GRADIENTS)
        if not callable(alpha):
            alpha = check_choice("alpha", alpha, _ALPHAS)
        self.alpha = alpha
        self.direction = check_choice("direction", direction, ("hard", "easy"))
        self.chunk_size = check_positive_integer("chunk_size", chunk_size)

    @property
    def per_example(self) -> bool:
        # All other weights depend on the other examples of the batch.
        independent = self.gradient == "output" and self.alpha == "norm"
        return independent and traits_of(self.loss).per_example

    @property
    def integer_targets(self) -> bool:
        return traits_of(self.loss).integer_targets

    @property
    def output_kind(self) -> OutputKind | None:
        return traits_of(self.loss).output_kind

    @property
    def requires(self) -> frozenset[str]:
        names = () if self.gradient == "output" else ("example_gradients",)
        return frozenset(names)

    def values(self, y_true: Any, y_pred: Any, context: LossContext) -> tf.Tensor:
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        per_example = traits_of(self.loss).per_example
        if y_true.shape.rank == y_pred.shape.rank == 1 and per_example:
            # Keras losses average over the last axis, which is the batch axis here.
            y_true, y_pred = y_true[:, tf.newaxis], y_pred[:, tf.newaxis]
        if self.gradient == "output":
            values, statistics = self._values_and_statistics(y_true, y_pred, context)
        else:
            values = loss_values(self.loss, y_true, y_pred, context)
            statistics = self._weight_statistics(context)
        mask = _compat.keras_mask(values)  # False where `ignore_class` applies
        if values.shape.rank == 0:
            raise ValueError(
                "Invalid value for argument `loss`. Expected a loss whose `call` "
                f"returns one value per example. Received: loss={self.loss}, which "
                "returns a scalar"
            )
        alpha = tf.cast(self.alphas(statistics), values.dtype)
        weight = tf.stop_gradient(tf.sigmoid(alpha))
        weight = append_axes(weight, values.shape.rank)
        values = tf.cast(weight * values, y_pred.dtype)
        _compat.add_keras_mask(values, mask)
        return values

    def alphas(self, statistics: GradientStatistics) -> tf.Tensor:
        """Returns `alpha_i` for each example."""
        norms = statistics.norms
        if callable(self.alpha):
            alpha = self.alpha(norms)
        elif self.alpha == "norm":
            alpha = norms
        elif self.alpha == "cosine":
            alpha = statistics.cosines
        else:
            mean = masked_mean(norms, statistics.mask, None)
            deviation = norms - mean
            std = tf.sqrt(masked_mean(tf.square(deviation), statistics.mask, None))
            # Equal norms may differ by rounding errors, which must not be scaled up.
            is_valid = std > 1e-6 * mean
            alpha = tf.where(
                is_valid,
                deviation / tf.where(is_valid, std, tf.ones_like(std)),
                tf.zeros_like(deviation),
            )
        return -alpha if self.direction == "easy" else alpha

    def _weight_statistics(self, context: LossContext) -> GradientStatistics:
        """Returns statistics of the gradients with respect to network weights."""

        def values(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
            dtype = tf.float64 if self.dtype == "float64" else tf.float32
            y_true, y_pred = self._cast_targets(y_true, dtype), tf.cast(y_pred, dtype)
            # The mask belongs to the batch, not to single examples.
            return loss_values(self.loss, y_true, y_pred, context._replace(mask=None))

        example_gradients: Any = context.example_gradients  # Listed in `requires`.
        return example_gradients(
            values,
            weights=self.gradient,
            chunk_size=self.chunk_size,
            with_cosines=self.alpha == "cosine",
        )

    def _cast_targets(self, y_true: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        keeps_integers = isinstance(self.loss, MetaLoss) and self.loss.integer_targets
        return y_true if keeps_integers else tf.cast(y_true, dtype)

    def _values_and_statistics(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tuple[tf.Tensor, GradientStatistics]:
        """Computes losses and statistics of gradients with respect to predictions."""
        wide = wide_dtype(y_pred.dtype)
        y_true, y_pred = expand_to_same_rank(
            self._cast_targets(y_true, wide), tf.cast(y_pred, wide)
        )
        if self.alpha != "cosine":
            closed_form = values_and_gradient_norms(self.loss, y_true, y_pred)
            if closed_form is not None:
                values, norms = closed_form
                mask = combine_masks(norms, context.mask)
                return values, GradientStatistics(norms, mask=mask)
        values, gradient = _value_and_gradient(self.loss, y_true, y_pred, context)
        norms = tf.sqrt(sum_last_axis(tf.square(gradient)))
        mask = combine_masks(norms, context.mask, _compat.keras_mask(values))
        if self.alpha != "cosine":
            return values, GradientStatistics(norms, mask=mask)
        batch = list(range(values.shape.rank))
        kept = gradient
        if mask is not None:
            kept = tf.where(mask[..., tf.newaxis], gradient, tf.zeros_like(gradient))
        mean = tf.reduce_sum(kept, axis=batch, keepdims=True)
        lengths = norms * tf.sqrt(tf.reduce_sum(tf.square(mean)))
        cosines = tf.math.divide_no_nan(sum_last_axis(gradient * mean), lengths)
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
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AdaLoss:
        config = dict(config)
        for key in ("loss", "alpha"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def _value_and_gradient(
    loss: keras.losses.Loss, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns loss values `[...]` and their gradients `[..., D]` as constants."""
    axis = _compat.axis_of_loss(loss)
    # If Keras recovers the logits of the predictions, the loss depends on the logits
    # and not on the predictions.
    is_direct = not _compat.is_made_of_logits(y_pred)
    # With `ignore_class`, Keras attaches a mask to the values, which a custom gradient
    # would drop.
    ignores = getattr(loss, "ignore_class", None) is not None
    averages_last_axis = keras_function(loss) is not None and axis == -1
    if averages_last_axis and is_direct and not ignores:
        values, gradient = _in_one_pass(loss, y_true, y_pred)
        return values, tf.stop_gradient(gradient)
    if is_direct:
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            values = loss_values(loss, y_true, y_pred, context)
        gradient = tf.stop_gradient(tape.gradient(values, y_pred))
    else:
        values = loss_values(loss, y_true, y_pred, context)
        constant = tf.stop_gradient(y_pred)
        with tf.GradientTape() as tape:
            tape.watch(constant)
            repeated = loss_values(loss, y_true, constant, context)
        gradient = tape.gradient(repeated, constant)
    rank, extra = y_pred.shape.rank, y_pred.shape.rank - values.shape.rank
    is_one_axis = extra == 1 and isinstance(axis, numbers.Integral)
    axes = [int(axis) % rank] if is_one_axis else list(range(rank - extra, rank))
    order = [i for i in range(rank) if i not in axes] + axes
    shape = tf.concat([tf.shape(values), [-1]], axis=0)
    return values, tf.reshape(tf.transpose(gradient, order), shape)


def _in_one_pass(
    loss: keras.losses.Loss, y_true: tf.Tensor, y_pred: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes values and gradients in one pass, for losses with independent rows."""

    @tf.custom_gradient
    def compute(y_true: tf.Tensor, y_pred: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([y_true, y_pred])
            values = loss.call(y_true, y_pred)
        by_pred = tape.gradient(values, y_pred)

        def gradient(upstream: tf.Tensor, _: Any) -> tuple[tf.Tensor, tf.Tensor]:
            by_true = tape.gradient(values, y_true, upstream)
            return by_true, upstream[..., tf.newaxis] * by_pred

        return (values, by_pred), gradient

    return compute(y_true, y_pred)
