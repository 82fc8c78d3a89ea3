"""Joint loss of several tasks: the sum of losses minus mutual information."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss.as_loss import as_loss
from keras_metaloss.checks import check_non_negative
from keras_metaloss.information.predicted.engine import METHODS, Options, Predictions
from keras_metaloss.losses.missing_labels import LabelledLoss, labelled_loss
from keras_metaloss.losses.predicted_distribution import (
    HEADS,
    Head,
    head_for_loss,
    predicted,
)

__all__ = ["JointParts", "MutualInformationLoss"]

Schedule = keras.optimizers.schedules.LearningRateSchedule
Pair = tuple[str, str]


class JointParts(NamedTuple):
    """Terms of a `MutualInformationLoss`.

    Attributes:
        values: per-example objective, `[N]`.
        losses: loss of each task, by name.
        information: mutual information of each pair, scalars in nats.
        entropies: entropy of each task, scalars in nats, by name; empty if `estimator`
            is a function.
    """

    values: tf.Tensor
    losses: dict[str, LabelledLoss]
    information: dict[Pair, tf.Tensor]
    entropies: dict[str, tf.Tensor]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MutualInformationLoss(keras.losses.Loss):
    """Joint loss `L_A + L_B - beta * I(A;B)`, for `kml.JointModel`.

    `I(A;B)` is the mutual information of the predicted distributions over the batch, in
    nats, computed by `kml.information.mutual_information`. Examples without labels
    contribute to it as well. For more than two tasks, it is summed over pairs of tasks.
    Before reduction, the loss has one value per example, `[N]`; the objective is their
    mean.

    The predicted distribution of a task follows from its loss: cross-entropies predict
    class probabilities or logits, squared and absolute errors predict values, and
    `kml.losses.NegativeLogLikelihood` predicts any TFP distribution. For other losses,
    specify it with `heads`. Predicted values are smoothed with normal noise whose
    standard deviation follows Silverman's rule.

    NaN targets and negative integer labels are missing. The loss of a task is the mean
    over the targets that are present.

    In distributed training, each replica computes `I(A;B)` of its part of the batch.

    Args:
        loss_a: loss of task A: a Keras loss, its name, or a function
            `(y_true, y_pred) -> [N, ...]`. Or a dictionary of the losses of all tasks,
            by name. Prefer losses in nats, the unit of `I(A;B)`: cross-entropies,
            negative log-likelihoods, or the squared error divided by twice the variance
            of the noise.
        loss_b: loss of task B. Must be `None` if `loss_a` is a dictionary. Defaults to
            `None`.
        beta: weight of the mutual information: a non-negative number, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the optimizer's
            iterations. With values greater than 1, predictions become overconfident at
            the cost of accuracy, and a warning is issued. Defaults to `1.0`, the
            objective of the article.
        estimator: a `method` of `kml.information.mutual_information`: `"auto"`,
            `"quadrature"`, `"pairwise_bhattacharyya"` or `"pairwise_kl"`; a dictionary
            with any of its arguments `method`, `num_points`, `bandwidth` and
            `leave_one_out`; or a function `(dist_a, dist_b) -> scalar` of two TFP
            distributions. `{"leave_one_out": True}` is more accurate for small batches
            and narrow predictions. Defaults to `"auto"`.
        heads: kind of output of each task, by name: `"logits"`, `"probabilities"`,
            `"binary_logits"`, `"binary_probabilities"`, `"value"`, or a function from
            outputs to a TFP distribution with batch shape `[N]` (or `[N * M]`, M
            consecutive rows per example). Defaults to `None`, which infers all kinds
            from the losses.
        pairs: pairs of task names whose mutual information is computed. Defaults to
            `None`, all pairs.
        name: name of the loss. Defaults to `"mutual_information_loss"`.
        reduction: type of reduction to apply to the loss, as for any Keras loss.
            Defaults to `"sum_over_batch_size"`.
        dtype: dtype of the loss computation. Defaults to `None`, which uses
            `keras.backend.floatx()`.

    Call arguments:
        y_true: targets of the tasks, a dictionary by name, or a tuple in the order of
            the tasks; each `[N, ...]`.
        y_pred: predictions of the tasks, a dictionary by name, or a tuple in the order
            of the tasks; each `[N, ...]`.
        sample_weight: weights `[N]` of the examples in the losses of all tasks and in
            `I(A;B)`, or a dictionary or tuple of weights of the tasks, which affect
            their losses only.

    Raises:
        ValueError: if an argument is invalid, or if the loss is called without the
            outputs of all tasks (as by a plain Keras model).

    Example:

    >>> import keras, keras_metaloss as kml
    >>> loss = kml.losses.MutualInformationLoss(
    ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True), "mse", beta=1)
    >>> y_true = ([0, 1], [[-1.0], [1.0]])
    >>> y_pred = ([[9.0, 0.0], [0.0, 9.0]], [[-1.0], [1.0]])
    >>> bool(loss(y_true, y_pred) < 0)       # no error, and B is predictable from A
    True

    Reference:
        Objective of the first article, `L = L_A + L_B - I(A;B)`, with the weight beta.
    """

    def __init__(
        self,
        loss_a: keras.losses.Loss | str | Callable | dict[str, Any],
        loss_b: keras.losses.Loss | str | Callable | None = None,
        beta: float | Schedule = 1.0,
        estimator: str | dict[str, Any] | Callable = "auto",
        heads: dict[str, Head] | None = None,
        pairs: Sequence[Pair] | None = None,
        name: str = "mutual_information_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.losses = _losses(loss_a, loss_b)
        self.heads = _heads(self.losses, heads)
        self.pairs = _pairs(self.losses, pairs)
        self.estimator = estimator
        self.options = _options(estimator)
        self.beta = beta
        self.step = None
        if isinstance(beta, Schedule):
            highest = _check_schedule(beta)
            self.step = keras.Variable(
                0, trainable=False, dtype="int64", name="beta_step"
            )
        else:
            highest = self.beta = check_non_negative("beta", beta)
        if highest > 1:
            warnings.warn(
                "With `beta` greater than 1, the mutual information between tasks "
                "outweighs their losses and predictions become overconfident. "
                f"Received: beta={beta!r}",
                stacklevel=2,
            )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self.losses)

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        with tf.name_scope(self.name):
            return self.reduce(self.parts(y_true, y_pred, sample_weight).values)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        return self.parts(y_true, y_pred).values

    def parts(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        information_scale: tf.Tensor | None = None,
    ) -> JointParts:
        """Computes the per-example objective and its terms.

        Args:
            y_true: targets of the tasks, a dictionary by name or a tuple in order.
            y_pred: predictions of the tasks, a dictionary by name or a tuple in order.
            sample_weight: weights `[N]`, or a dictionary or tuple of weights of the
                tasks. Defaults to `None`.
            information_scale: a scalar factor of `beta`. Defaults to `None`, no factor.

        Returns:
            `JointParts`.
        """
        y_true, y_pred = self.by_task("y_true", y_true), self.by_task("y_pred", y_pred)
        y_pred = {name: tf.cast(y, self.dtype) for name, y in y_pred.items()}
        shared = None
        if sample_weight is None or not keras.tree.is_nested(sample_weight):
            shared = sample_weight
            sample_weight = dict.fromkeys(self.tasks, shared)
        sample_weight = self.by_task("sample_weight", sample_weight)
        losses = {
            name: labelled_loss(loss, y_true[name], y_pred[name], sample_weight[name])
            for name, loss in self.losses.items()
        }
        values = sum(tf.cast(loss.rows, self.dtype) for loss in losses.values())
        if self.step is None and self.beta == 0:
            # Computed for the logs only. The objective is exactly the sum of losses.
            y_pred = {name: tf.stop_gradient(y) for name, y in y_pred.items()}
            information, entropies = self._information(y_pred, shared)
            return JointParts(values, losses, information, entropies)
        information, entropies = self._information(y_pred, shared)
        weight = self._beta()
        if information_scale is not None:
            weight = weight * tf.cast(information_scale, self.dtype)
        total = sum(tf.cast(i, self.dtype) for i in information.values())
        return JointParts(values - weight * total, losses, information, entropies)

    def distributions(self, y_pred: Any) -> dict[str, Any]:
        """Returns the predicted TFP distribution of each task, by name."""
        y_pred = self.by_task("y_pred", y_pred)
        return {name: predicted(self.heads[name], y) for name, y in y_pred.items()}

    def reduce(self, values: tf.Tensor) -> tf.Tensor:
        """Reduces per-example values as Keras does, with its scaling for replicas."""
        reduction = _Reduction("reduction", self.reduction, self.dtype)
        return reduction(values, values)

    def _information(self, y_pred, sample_weight):
        distributions = self.distributions(y_pred)
        if self.options is None:
            information = {
                (a, b): tf.convert_to_tensor(
                    self.estimator(distributions[a], distributions[b])
                )
                for a, b in self.pairs
            }
            return information, {}
        if sample_weight is not None:
            rows = next(iter(distributions.values())).batch_shape_tensor()[0]
            sample_weight = tf.reshape(tf.cast(sample_weight, self.dtype), [-1])
            # A function in `heads` may return several rows per example.
            sample_weight = tf.repeat(sample_weight, rows // tf.size(sample_weight))
        predictions = Predictions(distributions, sample_weight, self.options)
        information, entropies = predictions.terms(self.pairs, self.tasks)
        return (
            dict(zip(self.pairs, information, strict=True)),
            dict(zip(self.tasks, entropies, strict=True)),
        )

    def _beta(self):
        if self.step is None:
            return tf.constant(self.beta, self.dtype)
        return tf.cast(self.beta(tf.convert_to_tensor(self.step)), self.dtype)

    def by_task(self, argument: str, value: Any) -> dict[str, Any]:
        """Converts a dictionary or tuple to a dictionary by task, or raises."""
        if isinstance(value, dict) and set(value) == set(self.tasks):
            return {name: value[name] for name in self.tasks}
        if isinstance(value, (list, tuple)) and len(value) == len(self.tasks):
            return dict(zip(self.tasks, value, strict=True))
        received = (
            f"keys {tuple(value)}" if isinstance(value, dict) else type(value).__name__
        )
        raise ValueError(
            f"Invalid value for argument `{argument}`. Expected a dictionary or tuple "
            f"with one entry per task of {self.tasks}. Use `kml.JointModel`: a plain "
            "Keras model calls the loss with one output at a time. Received: "
            f"{argument} with {received}"
        )

    def set_step(self, step: Any) -> None:
        """Sets the step (the optimizer's iterations) of a scheduled `beta`."""
        if self.step is not None:
            self.step.assign(tf.cast(step, "int64"))

    def save_own_variables(self, store: dict[str, Any]) -> None:
        if self.step is not None:
            store["beta_step"] = self.step.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        if self.step is not None and "beta_step" in store:
            self.step.assign(store["beta_step"])

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "losses": {name: serialize(loss) for name, loss in self.losses.items()},
            "heads": {name: serialize(head) for name, head in self.heads.items()},
            "pairs": [list(pair) for pair in self.pairs],
            "beta": serialize(self.beta),
            "estimator": serialize(self.estimator),
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MutualInformationLoss:
        config = dict(config)
        deserialize = keras.saving.deserialize_keras_object
        for key in ("losses", "heads"):
            config[key] = {k: deserialize(v) for k, v in config[key].items()}
        for key in ("beta", "estimator"):
            config[key] = deserialize(config[key])
        config["pairs"] = [tuple(pair) for pair in config["pairs"]]
        with warnings.catch_warnings():
            # The warning was issued when the loss was created.
            warnings.filterwarnings("ignore", "With `beta` greater than 1")
            return cls(config.pop("losses"), **config)


class _Reduction(keras.losses.Loss):
    """Applies Keras's reduction and replica scaling to values already computed."""

    def call(self, y_true, y_pred):
        return y_pred


def _losses(loss_a, loss_b):
    if isinstance(loss_a, dict):
        if loss_b is not None or len(loss_a) < 2:
            raise ValueError(
                "Invalid value for argument `loss_a`. Expected a dictionary of at "
                "least two losses without `loss_b`, or two losses. Received: "
                f"loss_a={loss_a!r}, loss_b={loss_b!r}"
            )
        return {name: as_loss(name, loss) for name, loss in loss_a.items()}
    return {"a": as_loss("loss_a", loss_a), "b": as_loss("loss_b", loss_b)}


def _heads(losses, heads):
    heads = dict(heads or {})
    for name, head in heads.items():
        if name not in losses or not (head in HEADS or callable(head)):
            raise ValueError(
                "Invalid value for argument `heads`. Expected a dictionary from task "
                f"names, of {tuple(losses)}, to one of {HEADS} or a function. "
                f"Received: heads={heads!r}"
            )
    return {
        name: heads[name] if name in heads else head_for_loss(name, loss)
        for name, loss in losses.items()
    }


def _pairs(losses, pairs):
    names = list(losses)
    if pairs is None:
        return tuple((a, b) for i, a in enumerate(names) for b in names[i + 1 :])
    pairs = tuple(tuple(pair) for pair in pairs)
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(names):
            raise ValueError(
                "Invalid value for argument `pairs`. Expected pairs of different task "
                f"names, of {tuple(names)}. Received: pairs={pairs!r}"
            )
    return pairs


def _options(estimator):
    """Returns the options of an estimator, or `None` for a function."""
    if callable(estimator):
        return None
    if isinstance(estimator, str):
        estimator = {"method": estimator}
    if not isinstance(estimator, dict) or not set(estimator) <= set(Options._fields):
        raise ValueError(
            "Invalid value for argument `estimator`. Expected one of "
            f"{METHODS}, a dictionary with keys of {Options._fields}, or a function. "
            f"Received: estimator={estimator!r}"
        )
    return Options(**estimator).checked()


def _check_schedule(schedule):
    """Returns the largest value of a schedule over sampled steps."""
    steps = sorted({0, *(int(1.3**i) for i in range(70))})
    values = [float(schedule(step)) for step in steps]
    if min(values) < 0:
        raise ValueError(
            "Invalid value for argument `beta`. Expected a schedule of non-negative "
            f"numbers. Received: beta={schedule!r}, with the value {min(values)}"
        )
    return max(values)
