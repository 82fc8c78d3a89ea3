"""Negative log-likelihood of a predicted distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import MetaLoss, OutputKind

__all__ = ["NegativeLogLikelihood"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class NegativeLogLikelihood(MetaLoss):
    """Negative log-likelihood `-log p(y)` under the predicted distribution, in nats.

    `distribution` converts the outputs of a model to a distribution. In
    `kml.JointModel` this distribution is also used for the mutual information.

    Args:
        distribution: Function from outputs `[N, ...]` to a TFP distribution with batch
            shape `[N]`. Register it with `@keras.saving.register_keras_serializable()`
            to save the model.
        name: Name of the loss. Defaults to `"negative_log_likelihood"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Targets, `[N]` or `[N, 1]` for a scalar variable, otherwise `[N, ...]`
            with the event shape of the distribution.
        y_pred: Outputs of the network, `[N, ...]`.

    Raises:
        ValueError: If `distribution` is not callable or does not return a
            distribution, or if targets do not have the shape of its samples.

    Example:

    >>> import keras, tensorflow_probability as tfp, keras_metaloss as kml
    >>> def normal(outputs):
    ...     scale = keras.ops.softplus(outputs[:, 1])
    ...     return tfp.distributions.Normal(outputs[:, 0], scale)
    >>> loss = kml.losses.NegativeLogLikelihood(normal)
    >>> round(float(loss([[0.0]], [[0.0, 0.5413]])), 4)  # log(2 pi) / 2
    0.9189
    """

    def __init__(
        self,
        distribution: Callable[[tf.Tensor], Any],
        name: str = "negative_log_likelihood",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not callable(distribution):
            raise ValueError(
                "Invalid value for argument `distribution`. Expected a function from "
                "outputs to a `tensorflow_probability` distribution. Received: "
                f"distribution={distribution!r}"
            )
        self.distribution = distribution

    @property
    def output_kind(self) -> OutputKind:
        return self.distribution

    def values(self, y_true: Any, y_pred: Any, context: LossContext) -> tf.Tensor:
        distribution = self._predicted(tf.convert_to_tensor(y_pred))
        y_true = tf.cast(y_true, distribution.dtype)
        rank = distribution.batch_shape.rank + distribution.event_shape.rank
        # Targets [N] and outputs [N, 1], or vice versa, would broadcast to [N, N].
        if y_true.shape.rank == rank - 1:
            y_true = y_true[..., tf.newaxis]
        elif y_true.shape.rank == rank + 1 and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        shape = distribution.batch_shape + distribution.event_shape
        if not y_true.shape.is_compatible_with(shape):
            raise ValueError(
                "Invalid value for argument `y_true`. Expected the shape of a sample "
                f"of the predicted distribution, {tuple(shape)}. Received: "
                f"y_true.shape={tuple(y_true.shape)}"
            )
        return -distribution.log_prob(y_true)

    def _predicted(self, outputs: tf.Tensor) -> tfp.distributions.Distribution:
        """Returns the predicted distribution, or raises a `ValueError`."""
        distribution = self.distribution(outputs)
        if not isinstance(distribution, tfp.distributions.Distribution):
            raise ValueError(
                "Invalid value for argument `distribution`. Expected a function that "
                "returns a `tensorflow_probability` distribution. Received: "
                f"distribution={self.distribution!r}, which returns {distribution!r}"
            )
        return distribution

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "distribution": keras.saving.serialize_keras_object(self.distribution),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NegativeLogLikelihood:
        config = dict(config)
        config["distribution"] = keras.saving.deserialize_keras_object(
            config["distribution"]
        )
        return cls(**config)
