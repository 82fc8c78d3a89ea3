"""Focal losses: down-weight well-classified examples."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.subsampled_gradient import with_subsampled_gradient
from keras_metaloss.losses._core.trainable_loss import TrainableLoss
from keras_metaloss.losses.focal._gamma_likelihood import (
    as_label_rows,
    as_rows,
    binary_focal_likelihood,
    categorical_focal_likelihood,
    sparse_categorical_focal_likelihood,
)
from keras_metaloss.losses.focal.functions import (
    binary_focal_loss,
    categorical_focal_loss,
    sparse_categorical_focal_loss,
)

__all__ = ["BinaryFocalLoss", "CategoricalFocalLoss", "SparseCategoricalFocalLoss"]


class _FocalLoss(TrainableLoss):
    """Base class of the three focal losses."""

    _function: Callable[..., tf.Tensor]
    _likelihood: Callable[..., tf.Tensor]
    _rows: Callable[..., tuple[tf.Tensor, tf.Tensor]] = staticmethod(as_rows)
    _outputs = ("logits", "probabilities")

    def __init__(
        self,
        gamma: float | str = 2.0,
        alpha: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if isinstance(gamma, str):
            if gamma != "learned":
                raise ValueError(
                    "Invalid value for argument `gamma`. Expected a non-negative "
                    f'number or "learned". Received: gamma={gamma!r}'
                )
            # softplus(raw) = 2, the default value of a fixed gamma.
            self.add_parameter("raw_gamma", math.log(math.expm1(2.0)))
        else:
            gamma = check_non_negative("gamma", gamma)
        self._gamma: Any = gamma
        self.alpha = self._checked_alpha(alpha)
        self.from_logits = bool(from_logits)
        self.label_smoothing = check_non_negative("label_smoothing", label_smoothing)
        if self.label_smoothing > 1.0:
            raise ValueError(
                "Invalid value for argument `label_smoothing`. Expected a number in "
                f"[0, 1]. Received: label_smoothing={label_smoothing!r}"
            )
        self.axis = axis

    @property
    def output_kind(self) -> str:
        return self._outputs[0] if self.from_logits else self._outputs[1]

    @property
    def gamma(self) -> float:
        """The current value of the focusing parameter."""
        if self._gamma == "learned":
            raw = self._parameters["raw_gamma"]
            return float(tf.nn.softplus(tf.convert_to_tensor(raw)))
        return self._gamma

    @property
    def per_example(self) -> bool:
        # Other axes may be those of examples, counted from the front.
        return self.axis == -1

    def values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tf.Tensor:
        if self.from_logits and _compat.is_made_of_logits(y_pred):
            warnings.warn(
                f"`{type(self).__name__}(from_logits=True)` received probabilities: "
                "the last layer of the model has a softmax or sigmoid activation. Use "
                "`from_logits=False`, or remove the activation, which is more accurate",
                stacklevel=2,
            )
        shared = (self.from_logits, self.label_smoothing, self.axis)
        if self._gamma != "learned":
            return type(self)._function(
                y_true, y_pred, self._gamma, self.alpha, *shared
            )
        y_pred = keras.ops.convert_to_tensor(y_pred)
        gamma = tf.nn.softplus(self.parameter("raw_gamma", context))
        fixed = tf.stop_gradient(gamma)
        values = type(self)._function(y_true, y_pred, fixed, self.alpha, *shared)

        def likelihood(
            y_true: tf.Tensor, y_pred: tf.Tensor, gamma: tf.Tensor
        ) -> tf.Tensor:
            return type(self)._likelihood(y_true, y_pred, gamma, *shared[:2])

        rows = type(self)._rows(y_true, tf.stop_gradient(y_pred), self.axis)
        columns = tf.shape(y_pred)[self.axis]
        return with_subsampled_gradient(values, [gamma], likelihood, rows, columns)

    @classmethod
    def _checked_alpha(cls, alpha: Any) -> Any:
        if alpha is None:
            return None
        array = np.asarray(alpha)
        is_numeric = np.issubdtype(array.dtype, np.number) and array.ndim <= 1
        if not is_numeric or not np.isfinite(array).all() or not (array >= 0).all():
            raise ValueError(
                "Invalid value for argument `alpha`. Expected a non-negative number "
                f"or one per class. Received: alpha={alpha!r}"
            )
        return float(array) if array.ndim == 0 else [float(v) for v in array]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gamma": self._gamma,
            "alpha": self.alpha,
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
        }


@keras.saving.register_keras_serializable(package="keras_metaloss")
class BinaryFocalLoss(_FocalLoss):
    """Focal loss for binary classification.

    `FL = -alpha y (1 - p)^gamma log p - (1 - alpha) (1 - y) p^gamma log(1 - p)`,
    in nats, averaged over `axis`. Without `alpha`, both factors are 1.

    The loss is computed from log odds, so values and gradients are accurate for
    logits of any magnitude. Targets may be soft. `gamma=0` is binary cross-entropy.

    With `gamma="learned"`, gamma starts at 2 and is trained by `kml.AdaptiveLossModel`
    on the negative log-likelihood of the targets under a binary distribution with
    probabilities proportional to `exp(-FL)` of the two outcomes; predictions are held
    fixed. Loss values and gradients of the predictions are those of FL. For batches
    of at least 65,536 predictions, gamma is trained on a subsample of at least 256
    examples, drawn in proportion to their `sample_weight`.

    Args:
        gamma: Focusing parameter; larger values down-weight well-classified examples
            more strongly. A non-negative number, or `"learned"`. Defaults to `2.0`.
        alpha: Weight in [0, 1] of targets equal to 1; targets equal to 0 get
            `1 - alpha`. A number, or one per output, `[D]`. Defaults to `None`, which
            leaves both unweighted.
        from_logits: Whether `y_pred` contains logits instead of probabilities; logits
            are more accurate. Defaults to `False`.
        label_smoothing: Float in [0, 1]. Targets `y` become
            `y * (1 - label_smoothing) + label_smoothing / 2`. Defaults to `0.0`.
        axis: Axis to average over. Defaults to `-1`.
        name: Name of the loss. Defaults to `"binary_focal_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Targets in [0, 1], `[..., D]`.
        y_pred: Probabilities or logits, `[..., D]`.
        sample_weight: Optional weights, broadcastable to `[...]`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.BinaryFocalLoss(gamma=2.0, from_logits=True)
    >>> float(loss([[1.0]], [[-1000.0]]))
    1000.0

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """

    _function = staticmethod(binary_focal_loss)
    _likelihood = staticmethod(binary_focal_likelihood)
    _outputs = ("binary_logits", "binary_probabilities")

    def __init__(
        self,
        gamma: float | str = 2.0,
        alpha: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        name: str = "binary_focal_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            gamma, alpha, from_logits, label_smoothing, axis, name, reduction, dtype
        )

    @classmethod
    def _checked_alpha(cls, alpha: Any) -> Any:
        checked = super()._checked_alpha(alpha)
        values = [checked] if isinstance(checked, numbers.Number) else checked
        if max(values or [0.0]) > 1.0:
            raise ValueError(
                "Invalid value for argument `alpha`. Expected numbers in [0, 1], the "
                f"weight of targets equal to 1. Received: alpha={alpha!r}"
            )
        return checked


@keras.saving.register_keras_serializable(package="keras_metaloss")
class CategoricalFocalLoss(_FocalLoss):
    """Focal loss for one-hot or soft targets.

    `FL = -sum_c alpha_c y_c (1 - p_c)^gamma log p_c`, in nats, one value per example
    (or per pixel or time step).

    The loss is computed from log odds, so values and gradients are accurate for
    logits of any magnitude. `gamma=0` is categorical cross-entropy.

    With `gamma="learned"`, gamma starts at 2 and is trained by `kml.AdaptiveLossModel`.
    Minimizing FL over gamma would increase gamma without bound. Instead, gamma
    minimizes the negative log-likelihood of the targets under the distribution
    `q_c = exp(-FL_c) / sum_k exp(-FL_k)`, with predictions held fixed. Gamma increases
    while predictions are overconfident and decreases to 0, where `q = p`, when they
    are calibrated. Loss values and gradients of the predictions are those of FL. For
    batches of at least 65,536 predictions, gamma is trained on a subsample of at least
    256 examples, drawn in proportion to their `sample_weight`.

    Args:
        gamma: Focusing parameter; larger values down-weight well-classified examples
            more strongly. A non-negative number, or `"learned"`. Defaults to `2.0`.
        alpha: Weight of each class, `[C]`, or a number for all classes. Defaults to
            `None`, which leaves classes unweighted.
        from_logits: Whether `y_pred` contains logits instead of probabilities; logits
            are more accurate. Defaults to `False`.
        label_smoothing: Float in [0, 1]. Targets `y` become
            `y * (1 - label_smoothing) + label_smoothing / C`. Defaults to `0.0`.
        axis: Axis of the classes. Defaults to `-1`.
        name: Name of the loss. Defaults to `"categorical_focal_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: One-hot or soft targets, `[..., C]`.
        y_pred: Probabilities or logits, `[..., C]`.
        sample_weight: Optional weights, broadcastable to `[...]`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.CategoricalFocalLoss(gamma=1.0)
    >>> round(float(loss([[0.0, 1.0]], [[0.5, 0.5]])), 4)       # ln(2) / 2
    0.3466

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """

    _function = staticmethod(categorical_focal_loss)
    _likelihood = staticmethod(categorical_focal_likelihood)

    def __init__(
        self,
        gamma: float | str = 2.0,
        alpha: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        name: str = "categorical_focal_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            gamma, alpha, from_logits, label_smoothing, axis, name, reduction, dtype
        )


@keras.saving.register_keras_serializable(package="keras_metaloss")
class SparseCategoricalFocalLoss(_FocalLoss):
    """Focal loss for integer labels.

    `FL = -alpha_t (1 - p_t)^gamma log p_t` for target class t, in nats, one value per
    example (or per pixel or time step).

    The loss is computed from log odds, so values and gradients are accurate for
    logits of any magnitude. `gamma=0` is categorical cross-entropy.

    With `gamma="learned"`, gamma starts at 2 and is trained by `kml.AdaptiveLossModel`.
    Gamma minimizes the negative log-likelihood of the targets under the distribution
    `q_c = exp(-FL_c) / sum_k exp(-FL_k)`, with predictions held fixed. Gamma increases
    while predictions are overconfident and decreases to 0, where `q = p`, when they
    are calibrated. Loss values and gradients of the predictions are those of FL. For
    batches of at least 65,536 predictions, gamma is trained on a subsample of at least
    256 examples, drawn in proportion to their `sample_weight`.

    Args:
        gamma: Focusing parameter; larger values down-weight well-classified examples
            more strongly. A non-negative number, or `"learned"`. Defaults to `2.0`.
        alpha: Weight of each class, `[C]`, or a number for all classes. Defaults to
            `None`, which leaves classes unweighted.
        from_logits: Whether `y_pred` contains logits instead of probabilities; logits
            are more accurate. Defaults to `False`.
        label_smoothing: Float in [0, 1]. One-hot targets `y` become
            `y * (1 - label_smoothing) + label_smoothing / C`. Defaults to `0.0`.
        axis: Axis of the classes. Defaults to `-1`.
        name: Name of the loss. Defaults to `"sparse_categorical_focal_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Integer labels in [0, C), `[...]`, or with a class axis of length 1.
            Out-of-range labels give NaN, or raise an error on a CPU.
        y_pred: Probabilities or logits, `[..., C]`.
        sample_weight: Optional weights, broadcastable to `[...]`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.SparseCategoricalFocalLoss(gamma=1.0)
    >>> round(float(loss([1], [[0.5, 0.5]])), 4)                # ln(2) / 2
    0.3466

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """

    _function = staticmethod(sparse_categorical_focal_loss)
    _likelihood = staticmethod(sparse_categorical_focal_likelihood)
    _rows = staticmethod(as_label_rows)
    integer_targets = True

    def __init__(
        self,
        gamma: float | str = 2.0,
        alpha: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        name: str = "sparse_categorical_focal_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            gamma, alpha, from_logits, label_smoothing, axis, name, reduction, dtype
        )
