"""Focal losses: the well classified count less."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.checks import check_non_negative
from keras_metaloss.losses.class_number_loss import ClassNumbers
from keras_metaloss.losses.focal_functions import (
    binary_focal_loss,
    categorical_focal_loss,
    sparse_categorical_focal_loss,
)
from keras_metaloss.losses.focal_likelihood import (
    as_label_rows,
    as_rows,
    binary_focal_likelihood,
    categorical_focal_likelihood,
    sparse_categorical_focal_likelihood,
)
from keras_metaloss.losses.gradient_from_part import with_gradient_from_part
from keras_metaloss.losses.trainable_loss import TrainableLoss

__all__ = ["BinaryFocalLoss", "CategoricalFocalLoss", "SparseCategoricalFocalLoss"]


class _FocalLoss(TrainableLoss):
    """What the three have in common."""

    _values = None
    _likelihood = None
    _rows = staticmethod(as_rows)

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
                    "Invalid value for argument `gamma`. Expected a number not below "
                    f'zero or "learned". Received: gamma={gamma!r}'
                )
            # softplus(raw) = 2, the usual value of a gamma that is not learned.
            self.add_parameter("raw_gamma", math.log(math.expm1(2.0)))
        else:
            gamma = check_non_negative("gamma", gamma)
        self._gamma = gamma
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
    def gamma(self) -> float:
        """The focusing parameter, as it stands now."""
        if self._gamma == "learned":
            raw = self._parameters["raw_gamma"]
            return float(tf.nn.softplus(tf.convert_to_tensor(raw)))
        return self._gamma

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        if self.from_logits and _compat.is_made_of_logits(y_pred):
            warnings.warn(
                f"`{type(self).__name__}(from_logits=True)` received probabilities: "
                "the last layer of the model has a softmax or sigmoid. Use "
                "`from_logits=False`, or leave the activation out, which is more exact",
                stacklevel=2,
            )
        shared = (self.from_logits, self.label_smoothing, self.axis)
        if self._gamma != "learned":
            return type(self)._values(y_true, y_pred, self._gamma, self.alpha, *shared)
        y_pred = keras.ops.convert_to_tensor(y_pred)
        gamma = tf.nn.softplus(self.parameter("raw_gamma"))
        fixed = tf.stop_gradient(gamma)
        values = type(self)._values(y_true, y_pred, fixed, self.alpha, *shared)

        def likelihood(y_true, y_pred, gamma):
            return type(self)._likelihood(y_true, y_pred, gamma, *shared[:2])

        rows = type(self)._rows(y_true, tf.stop_gradient(y_pred), self.axis)
        columns = tf.shape(y_pred)[self.axis]
        return with_gradient_from_part(values, [gamma], likelihood, rows, columns)

    @classmethod
    def _checked_alpha(cls, alpha):
        if alpha is None:
            return None
        array = np.asarray(alpha)
        number = np.issubdtype(array.dtype, np.number) and array.ndim <= 1
        if not number or not np.isfinite(array).all() or not (array >= 0).all():
            raise ValueError(
                "Invalid value for argument `alpha`. Expected a number or one number a "
                f"class, none below zero. Received: alpha={alpha!r}"
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
    """Focal loss of yes-or-no targets.

    `FL = -alpha y (1 - p)^gamma log p - (1 - alpha) (1 - y) p^gamma log(1 - p)`,
    in nats, averaged over `axis`; without `alpha` both factors are 1.

    Computed from log odds, so value and gradient are right for logits of any size.
    Targets may be soft. `gamma=0` is cross-entropy.

    Args:
        gamma: how much less the well classified count: a number not below zero, or
            `"learned"`, see `CategoricalFocalLoss`.
        alpha: weight of the targets 1 in [0, 1], that of the targets 0 being
            `1 - alpha`; one number, or one an output `[D]`.
        from_logits: whether predictions are logits, which are more exact.
        label_smoothing: share of each target that is moved to 1/2.
        axis: axis that is averaged.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Call arguments:
        y_true: targets in [0, 1], `[..., D]`.
        y_pred: probabilities or logits, `[..., D]`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.BinaryFocalLoss(gamma=2.0, from_logits=True)
    >>> float(loss([[1.0]], [[-1000.0]]))
    1000.0

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """

    _values = staticmethod(binary_focal_loss)
    _likelihood = staticmethod(binary_focal_likelihood)

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
    def _checked_alpha(cls, alpha):
        checked = super()._checked_alpha(alpha)
        values = [checked] if isinstance(checked, numbers.Number) else checked
        if max(values or [0.0]) > 1.0:
            raise ValueError(
                "Invalid value for argument `alpha`. Expected a number in [0, 1], the "
                f"weight of the targets 1. Received: alpha={alpha!r}"
            )
        return checked


@keras.saving.register_keras_serializable(package="keras_metaloss")
class CategoricalFocalLoss(_FocalLoss):
    """Focal loss of targets given as a distribution over classes.

    `FL = -sum_c alpha_c y_c (1 - p_c)^gamma log p_c`, in nats, one value an example
    (or pixel, or time step).

    Computed from log odds, so value and gradient are right for logits of any size.
    Targets may be one-hot or soft. `gamma=0` is cross-entropy.

    With `gamma="learned"`, gamma starts at 2 and is trained by `kml.AdaptiveLossModel`.
    Minimising FL over gamma would only raise it without end. Instead gamma follows the
    gradient of the likelihood of the targets under `q_c ~ exp(-FL_c)`, scaled to sum to
    1 over classes, with predictions held fixed: it rises while predictions are too
    sure of themselves and falls to 0, where `q = p`, when they are calibrated. Value
    of the loss and gradient of the predictions are those of FL. Of a large
    batch, 65,536 predictions or more, a part tells gamma: at least 256 examples, those
    with a larger `sample_weight` more often.

    Args:
        gamma: how much less the well classified count: a number not below zero, or
            `"learned"`.
        alpha: weight of each class `[C]`, or one number for all.
        from_logits: whether predictions are logits, which are more exact.
        label_smoothing: share of each target that is spread over all classes.
        axis: axis of the classes.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Call arguments:
        y_true: targets, `[..., C]`.
        y_pred: probabilities or logits, `[..., C]`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.CategoricalFocalLoss(gamma=1.0)
    >>> round(float(loss([[0.0, 1.0]], [[0.5, 0.5]])), 4)       # ln(2) / 2
    0.3466

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """

    _values = staticmethod(categorical_focal_loss)
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
class SparseCategoricalFocalLoss(ClassNumbers, _FocalLoss):
    """Focal loss of targets given as class numbers.

    `FL = -alpha_t (1 - p_t)^gamma log p_t` for target class t, in nats, one value an
    example (or pixel, or time step).

    Computed from log odds, so value and gradient are right for logits of any size.
    `gamma=0` is cross-entropy.

    Args:
        gamma: how much less the well classified count: a number not below zero, or
            `"learned"`, see `CategoricalFocalLoss`.
        alpha: weight of each class `[C]`, or one number for all.
        from_logits: whether predictions are logits, which are more exact.
        label_smoothing: share of each target that is spread over all classes.
        axis: axis of the classes.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Call arguments:
        y_true: class numbers, `[...]`, or with an axis of length 1 for the classes.
        y_pred: probabilities or logits, `[..., C]`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> import keras_metaloss as kml
    >>> loss = kml.losses.SparseCategoricalFocalLoss(gamma=1.0)
    >>> round(float(loss([1], [[0.5, 0.5]])), 4)                # ln(2) / 2
    0.3466

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equations 4, 5.
    """

    _values = staticmethod(sparse_categorical_focal_loss)
    _likelihood = staticmethod(sparse_categorical_focal_likelihood)
    _rows = staticmethod(as_label_rows)

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
