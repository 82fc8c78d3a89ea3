"""Adaptive robust regression loss and its negative log-likelihood."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import check_within
from keras_metaloss._utils.shapes import require_same_rank
from keras_metaloss.losses._core.floats import as_floats
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.subsampled_gradient import with_subsampled_gradient
from keras_metaloss.losses._core.trainable_loss import TrainableLoss
from keras_metaloss.losses.robust._kernels import learned_energy
from keras_metaloss.losses.robust.functions import (
    check_columns,
    general_robust_loss,
    log_partition,
)

__all__ = ["AdaptiveRobustLoss", "robust_negative_log_likelihood"]

# Bounds of a learned alpha. At 0, the distribution has no mean. At 2, its log-density
# is not differentiable with respect to alpha.
_MIN_ALPHA, _MAX_ALPHA = 0.001, 1.999
# Keeps the likelihood of a perfect fit finite.
_MIN_SCALE = 1e-5


def robust_negative_log_likelihood(
    y_true: Any, y_pred: Any, alpha: Any = 1.0, scale: Any = 1.0
) -> tf.Tensor:
    """Computes the negative log-likelihood of residuals under the robust density.

    `rho(x; alpha, c) + log c + log Z(alpha)` in nats, averaged over the last axis, with
    `x = y_true - y_pred`, scale `c`, normalizer `Z`, and
    `rho(x) = |a - 2| / a * (((x / c)^2 / |a - 2| + 1)^(a / 2) - 1)` for `a = alpha`.
    Differentiable with respect to all four arguments.

    Args:
        y_true: Targets, `[..., D]`.
        y_pred: Predictions, `[..., D]`.
        alpha: Shape in the open interval (0, 2): a number, or one per column, `[D]`.
            Defaults to `1.0`.
        scale: Scale `c`: a number greater than 0, or one per column, `[D]`. Defaults
            to `1.0`.

    Returns:
        Per-example values, `[...]`.

    Raises:
        ValueError: If `alpha` or `scale` is neither a scalar nor one number per
            column, or is out of range (the range is not checked for tensors).

    Example:

    >>> import keras_metaloss as kml
    >>> nearly_normal = kml.losses.robust_negative_log_likelihood(
    ...     [[0.0]], [[0.0]], alpha=1.999)
    >>> round(float(nearly_normal[0]), 2)           # ln(2 pi) / 2
    0.92

    Reference:
        Barron, "A General and Adaptive Robust Loss Function", 2019, equations 15-17.
    """
    residual, result = _residual(y_true, y_pred, alpha, scale)
    check_within("scale", scale, 0.0, math.inf)
    check_within("alpha", alpha, 0.0, 2.0)
    # The custom gradient requires tensors: it would not see Keras variables.
    alpha, scale = (
        tf.cast(keras.ops.convert_to_tensor(x, residual.dtype), residual.dtype)
        for x in (alpha, scale)
    )
    return tf.cast(_likelihood(residual, alpha, scale), result)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class AdaptiveRobustLoss(TrainableLoss):
    """Barron's robust loss with a shape and scale learned from the residuals.

    `rho(x) = |a - 2| / a * (((x / c)^2 / |a - 2| + 1)^(a / 2) - 1)` with
    `x = y_true - y_pred`, shape `a = alpha` and scale `c`, averaged over the last axis.

    With `learned=True`, the loss is the negative log-likelihood of the residuals in
    nats, `rho(x; alpha, c) + log c + log Z(alpha)`. Its parameters alpha, in
    (0.001, 1.999), and c are trained by `kml.AdaptiveLossModel`. Light tails drive
    alpha towards 2 (a normal distribution), heavy tails towards 0 (a Cauchy
    distribution). As the negative logarithm of a density, the loss can be negative and
    is not 0 for a perfect fit. For batches of at least 65,536 predictions, a scalar
    alpha and scale are trained on a subsample of at least 256 examples, drawn in
    proportion to their `sample_weight`.

    With `learned=False`, the loss is `rho` with fixed parameters. Any finite alpha and
    `-inf` are allowed, and any Keras model can be trained with it.

    Args:
        alpha: Shape, or its initial value if learned: a number, or one per column of
            the targets, `[D]`. Defaults to `1.0`.
        scale: Residual above which a value is treated as an outlier, or its initial
            value if learned: a number greater than 0, or one per column, `[D]`.
            Defaults to `1.0`.
        learned: Whether `alpha` and `scale` are trained. Defaults to `True`.
        name: Name of the loss. Defaults to `"adaptive_robust_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Targets, `[..., D]`.
        y_pred: Predictions, `[..., D]`.
        sample_weight: Optional weights, broadcastable to `[...]`.

    Raises:
        ValueError: If `alpha` is out of range, or if `scale` is not positive.

    Example:

    >>> import keras, numpy as np, keras_metaloss as kml
    >>> network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model = kml.AdaptiveLossModel(network)
    >>> model.compile(optimizer="adam", loss=kml.losses.AdaptiveRobustLoss())
    >>> x = np.linspace(-1.0, 1.0, 32)[:, np.newaxis]
    >>> history = model.fit(x, 2.0 * x, verbose=0)
    >>> bool(0.001 < model.loss.alpha < 1.999)
    True

    Reference:
        Barron, "A General and Adaptive Robust Loss Function", 2019, equations 8, 15-17.
    """

    per_example = True
    output_kind = "value"

    def __init__(
        self,
        alpha: Any = 1.0,
        scale: Any = 1.0,
        learned: bool = True,
        name: str = "adaptive_robust_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.learned = bool(learned)
        self._alpha = _checked_numbers("alpha", alpha)
        self._scale = _checked_numbers("scale", scale)
        if not (np.asarray(self._scale) > _MIN_SCALE).all():
            raise ValueError(
                "Invalid value for argument `scale`. Expected numbers greater than "
                f"{_MIN_SCALE}. Received: scale={scale!r}"
            )
        if self.learned:
            share = (np.asarray(self._alpha) - _MIN_ALPHA) / (_MAX_ALPHA - _MIN_ALPHA)
            if not ((share > 0) & (share < 1)).all():
                raise ValueError(
                    "Invalid value for argument `alpha`. Expected numbers between "
                    f"{_MIN_ALPHA} and {_MAX_ALPHA}, or `learned=False` to fix "
                    f"`alpha`. Received: alpha={alpha!r}"
                )
            self.add_parameter("raw_alpha", np.log(share / (1.0 - share)))
            self.add_parameter(
                "raw_scale", np.log(np.asarray(self._scale) - _MIN_SCALE)
            )

    @property
    def alpha(self) -> Any:
        """The current value of the shape."""
        if not self.learned:
            return self._alpha
        return _to_shape(tf.convert_to_tensor(self._parameters["raw_alpha"])).numpy()

    @property
    def scale(self) -> Any:
        """The current value of the scale."""
        if not self.learned:
            return self._scale
        return _to_scale(tf.convert_to_tensor(self._parameters["raw_scale"])).numpy()

    def values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tf.Tensor:
        if not self.learned:
            return general_robust_loss(y_true, y_pred, self._alpha, self._scale)
        alpha = _to_shape(self.parameter("raw_alpha", context))
        scale = _to_scale(self.parameter("raw_scale", context))
        residual, result = _residual(y_true, y_pred, alpha, scale)
        alpha, scale = (tf.cast(p, residual.dtype) for p in (alpha, scale))
        if any(p.shape.num_elements() != 1 for p in (alpha, scale)):
            return tf.cast(_likelihood(residual, alpha, scale), result)
        values = _likelihood(residual, alpha, scale, learns=False)
        columns = tf.shape(residual)[-1]
        rows = tf.reshape(residual, [-1, columns])
        values = with_subsampled_gradient(
            values, [alpha, scale], _likelihood, [rows], columns
        )
        return tf.cast(values, result)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self._alpha,
            "scale": self._scale,
            "learned": self.learned,
        }


def _residual(
    y_true: Any, y_pred: Any, alpha: tf.Tensor, scale: tf.Tensor
) -> tuple[tf.Tensor, tf.DType]:
    """Returns `y_pred - y_true` and the dtype of the result."""
    y_true, y_pred, result = as_floats(y_true, y_pred)
    y_true, y_pred = require_same_rank(y_true, y_pred)
    check_columns(y_pred, alpha=alpha, scale=scale)
    # The loss is an even function. This order avoids a change of sign in the gradient.
    return y_pred - y_true, result


def _likelihood(
    residual: tf.Tensor, alpha: tf.Tensor, scale: tf.Tensor, learns: bool = True
) -> tf.Tensor:
    """Computes the mean negative log-likelihood over the last axis."""
    normalizer = tf.reduce_mean(tf.math.log(scale) + log_partition(alpha))
    if not learns:
        normalizer = tf.stop_gradient(normalizer)
    return learned_energy(residual, alpha, scale, learns) + normalizer


def _to_shape(raw: tf.Tensor) -> tf.Tensor:
    return _MIN_ALPHA + (_MAX_ALPHA - _MIN_ALPHA) * tf.sigmoid(raw)


def _to_scale(raw: tf.Tensor) -> tf.Tensor:
    return _MIN_SCALE + tf.exp(raw)


def _checked_numbers(name: str, value: Any) -> float | list[float]:
    """Validates numbers less than infinity; returns a float or a list of floats."""
    array = np.asarray(value)
    is_numeric = np.issubdtype(array.dtype, np.number) and array.ndim <= 1
    if not is_numeric or not (array.astype("float64") < np.inf).all():
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a number or one number per "
            f"column. Received: {name}={value!r}"
        )
    return float(array) if array.ndim == 0 else [float(v) for v in array]
