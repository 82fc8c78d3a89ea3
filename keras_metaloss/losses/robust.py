"""A regression loss that finds out how much to trust outliers."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.checks import check_within
from keras_metaloss.losses.as_floats import as_floats
from keras_metaloss.losses.general_robust_loss import (
    check_columns,
    general_robust_loss,
    log_partition,
)
from keras_metaloss.losses.gradient_from_part import with_gradient_from_part
from keras_metaloss.losses.robust_kernel import learned_energy
from keras_metaloss.losses.trainable_loss import TrainableLoss
from keras_metaloss.same_rank import same_rank

__all__ = ["AdaptiveRobustLoss", "robust_negative_log_likelihood"]

# The distribution has no mean at 0, and its logarithm no derivative at 2.
_LOWEST, _HIGHEST = 0.001, 1.999
# What keeps a perfect fit from an infinite likelihood.
_LEAST_SCALE = 1e-5


def robust_negative_log_likelihood(
    y_true: Any, y_pred: Any, alpha: Any = 1.0, scale: Any = 1.0
) -> tf.Tensor:
    """Negative log likelihood of residuals under the density of the robust loss.

    `rho(x; alpha, c) + log c + log Z(alpha)` in nats, with `x = y_true - y_pred` and
    `rho` of `kml.losses.general_robust_loss`, averaged over the last axis.
    Differentiable by all four arguments.

    Args:
        y_true: targets, `[..., D]`.
        y_pred: predictions, `[..., D]`.
        alpha: shape, between 0 and 2, both left out: one number or one a column `[D]`.
        scale: c, above 0, one number or `[D]`.

    Returns:
        Tensor `[...]`.

    Raises:
        ValueError: if alpha or scale are not one number or one a column; if they are
            no tensors, for numbers out of range.

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
    # Not the variables themselves, which the gradient by hand would not know.
    alpha, scale = (
        tf.cast(keras.ops.convert_to_tensor(x, residual.dtype), residual.dtype)
        for x in (alpha, scale)
    )
    return tf.cast(_likelihood(residual, alpha, scale), result)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class AdaptiveRobustLoss(TrainableLoss):
    """Barron's robust loss, its shape and scale learned from the residuals.

    With `learned=True` the negative log likelihood of residuals x, in nats,
    `rho(x; alpha, c) + log c + log Z(alpha)`, averaged over the last axis. Its
    parameters alpha, within (0.001, 1.999), and c are trained by
    `kml.AdaptiveLossModel`: light tails drive alpha towards 2, which is a normal
    distribution, heavy tails towards 0, a Cauchy distribution. Being a density, it
    may be below zero, and is not 0 at a perfect fit. Of a large batch, 65,536
    predictions or more, a part tells a single alpha and scale: at least 256 examples,
    those with a larger `sample_weight` more often.

    With `learned=False` the loss `rho` itself, see `kml.losses.general_robust_loss`,
    with any alpha below infinity, in any model.

    Args:
        alpha: shape, or its start: one number, or one a column `[D]` of targets.
        scale: residual at which outliers begin, or its start: above 0, one number or
            `[D]`.
        learned: whether alpha and scale are trained.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Call arguments:
        y_true: targets, `[..., D]`.
        y_pred: predictions, `[..., D]`.

    Raises:
        ValueError: if alpha is out of its range or scale not above 0.

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
        self._alpha = _numbers("alpha", alpha)
        self._scale = _numbers("scale", scale)
        if not (np.asarray(self._scale) > _LEAST_SCALE).all():
            raise ValueError(
                "Invalid value for argument `scale`. Expected numbers above "
                f"{_LEAST_SCALE}. Received: scale={scale!r}"
            )
        if self.learned:
            share = (np.asarray(self._alpha) - _LOWEST) / (_HIGHEST - _LOWEST)
            if not ((share > 0) & (share < 1)).all():
                raise ValueError(
                    "Invalid value for argument `alpha`. Expected numbers between "
                    f"{_LOWEST} and {_HIGHEST} for a learned loss, or `learned=False`. "
                    f"Received: alpha={alpha!r}"
                )
            self.add_parameter("raw_alpha", np.log(share / (1.0 - share)))
            self.add_parameter(
                "raw_scale", np.log(np.asarray(self._scale) - _LEAST_SCALE)
            )

    @property
    def alpha(self) -> Any:
        """The shape, as it stands now: a number or a list."""
        if not self.learned:
            return self._alpha
        return _to_shape(tf.convert_to_tensor(self._parameters["raw_alpha"])).numpy()

    @property
    def scale(self) -> Any:
        """The scale, as it stands now: a number or a list."""
        if not self.learned:
            return self._scale
        return _to_scale(tf.convert_to_tensor(self._parameters["raw_scale"])).numpy()

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        if not self.learned:
            return general_robust_loss(y_true, y_pred, self._alpha, self._scale)
        alpha = _to_shape(self.parameter("raw_alpha"))
        scale = _to_scale(self.parameter("raw_scale"))
        residual, result = _residual(y_true, y_pred, alpha, scale)
        parameters = [tf.cast(p, residual.dtype) for p in (alpha, scale)]
        if any(p.shape.num_elements() != 1 for p in parameters):
            return tf.cast(_likelihood(residual, *parameters), result)
        values = _likelihood(residual, *parameters, learns=False)
        columns = tf.shape(residual)[-1]
        rows = tf.reshape(residual, [-1, columns])
        values = with_gradient_from_part(
            values, parameters, _likelihood, [rows], columns
        )
        return tf.cast(values, result)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self._alpha,
            "scale": self._scale,
            "learned": self.learned,
        }


def _residual(y_true, y_pred, alpha, scale):
    """What is left of targets, but for the sign, and the dtype of the result."""
    y_true, y_pred, result = as_floats(y_true, y_pred)
    y_true, y_pred = same_rank(y_true, y_pred)
    check_columns(y_pred, alpha=alpha, scale=scale)
    # The loss is even; this order leaves no sign to change in the gradient.
    return y_pred - y_true, result


def _likelihood(residual, alpha, scale, learns=True):
    normalizer = tf.reduce_mean(tf.math.log(scale) + log_partition(alpha))
    if not learns:
        normalizer = tf.stop_gradient(normalizer)
    return learned_energy(residual, alpha, scale, learns) + normalizer


def _to_shape(raw):
    return _LOWEST + (_HIGHEST - _LOWEST) * tf.sigmoid(raw)


def _to_scale(raw):
    return _LEAST_SCALE + tf.exp(raw)


def _numbers(name, value):
    """A number, or a list of them; minus infinity is one."""
    array = np.asarray(value)
    fits = np.issubdtype(array.dtype, np.number) and array.ndim <= 1
    if not fits or not (array.astype("float64") < np.inf).all():
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a number or one number a "
            f"column. Received: {name}={value!r}"
        )
    return float(array) if array.ndim == 0 else [float(v) for v in array]
