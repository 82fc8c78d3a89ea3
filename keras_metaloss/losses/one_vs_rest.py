"""One-vs-rest loss: one binary decision per class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import MetaLoss, loss_values
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses._core.traits import traits_of

__all__ = ["OneVsRest"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class OneVsRest(MetaLoss):
    """Applies a binary loss to each class score and averages over classes.

    `L(y, z) = mean_k loss(1[y = k], g(z_k))` with an activation g. With binary
    cross-entropy, this is the verification loss of Siamese networks. With `"mse"` and
    `"sigmoid"`, it is the loss of relation networks.

    Args:
        loss: A Keras loss, its name, or a function `(y_true, y_pred) -> values`. It is
            called with targets of 0 and 1.
        activation: Activation applied to the scores before the loss: a Keras
            activation, its name or a function. Defaults to `None` (linear).
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        name: Name of the loss. Defaults to `"one_vs_rest"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Integer labels, `[...]`, or one-hot targets, `[..., C]`.
        y_pred: Class scores, `[..., C]`.
        sample_weight: Optional weights, broadcastable to `[...]`.

    Raises:
        ValueError: If `loss` is not a Keras loss, its name or a function.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> loss = kml.losses.OneVsRest(keras.losses.BinaryCrossentropy(from_logits=True))
    >>> round(float(loss([1], [[0.0, 0.0]])), 4)
    0.6931

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015,
        section 3.2; Sung et al., "Learning to Compare", 2018, equation 2.
    """

    def __init__(
        self,
        loss: keras.losses.Loss | str | Callable,
        activation: str | Callable | None = None,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "one_vs_rest",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.loss = standardize_loss("loss", loss)
        self.activation = keras.activations.get(activation)

    @property
    def per_example(self) -> bool:
        return traits_of(self.loss).per_example

    def values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tf.Tensor:
        y_true = tf.convert_to_tensor(y_true)
        y_pred = self.activation(tf.convert_to_tensor(y_pred))
        classes = tf.shape(y_pred)[-1]
        if y_true.shape.rank == y_pred.shape.rank and y_true.shape[-1] == 1:
            y_true = tf.squeeze(y_true, axis=-1)
        if y_true.shape.rank < y_pred.shape.rank:
            y_true = tf.one_hot(tf.cast(y_true, tf.int32), classes, dtype=y_pred.dtype)
        # Keras losses average over the last axis; this one has length 1.
        values = loss_values(
            self.loss, y_true[..., tf.newaxis], y_pred[..., tf.newaxis], context
        )
        return tf.reduce_mean(values, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "activation": keras.activations.serialize(self.activation),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> OneVsRest:
        config = dict(config)
        config["loss"] = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**config)
