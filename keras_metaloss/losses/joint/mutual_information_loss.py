"""Joint loss of several tasks: the sum of losses minus mutual information."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss.information.predicted._batch import PredictedBatch
from keras_metaloss.information.predicted._methods import (
    information_and_entropies,
)
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import MetaLoss, OutputKind
from keras_metaloss.losses._core.reduction import reduce_weighted
from keras_metaloss.losses._core.scheduled_weight import (
    Schedule,
    check_scheduled_weight,
    scheduled_value,
)
from keras_metaloss.losses.joint._arguments import (
    Pair,
    checked_estimate,
    checked_pairs,
    losses_by_task,
    options_of,
    output_kinds_by_task,
)
from keras_metaloss.losses.joint._labeled_loss import LabeledLoss, labeled_loss
from keras_metaloss.losses.joint._output_distribution import (
    output_distribution,
)
from keras_metaloss.losses.joint._predictions import (
    cast_predictions,
    included_predictions,
    row_weights,
)

__all__ = ["JointLossTerms", "MutualInformationLoss"]


class JointLossTerms(NamedTuple):
    """Terms of a `MutualInformationLoss`.

    Attributes:
        values: Per-example objective, `[N]`.
        losses: Loss of each task, by name.
        information: Mutual information of each pair, scalars in nats.
        entropies: Entropy of each task, scalars in nats, by name; empty if `estimator`
            is a function.
    """

    values: tf.Tensor
    losses: dict[str, LabeledLoss]
    information: dict[Pair, tf.Tensor]
    entropies: dict[str, tf.Tensor]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MutualInformationLoss(MetaLoss):
    """Joint loss `L_A + L_B - beta * I(A;B)`, for `kml.JointModel`.

    `I(A;B)` is the mutual information of the predicted distributions over the batch, in
    nats, computed by `kml.information.mutual_information`. Examples without labels
    contribute to it as well. For more than two tasks, it is summed over pairs of tasks.
    Before reduction, the loss has one value per example, `[N]`; the objective is their
    mean.

    The predicted distribution of a task follows from its loss: cross-entropies predict
    class probabilities or logits, squared and absolute errors predict values, and
    `kml.losses.NegativeLogLikelihood` predicts any TFP distribution. For other losses,
    specify it with `output_kinds`. Predicted values are smoothed with normal noise
    whose standard deviation follows Silverman's rule.

    NaN targets and negative integer labels are missing; a vector with a missing entry
    is missing (reshape outputs of D independent labels to `[D, 1]`). The loss of a task
    is the mean over the targets that are present. Targets of predictions that a Keras
    mask excludes, such as padded time steps, do not count either. For the mutual
    information, a masked time step is replaced by the mean prediction of that step, and
    an example without any unmasked step has weight 0.

    In distributed training, each replica computes `I(A;B)` over its part of the batch.

    Args:
        loss_a: Loss of task A: a Keras loss, its name, or a function
            `(y_true, y_pred) -> [N, ...]`. Or a dictionary of the losses of all tasks,
            by name. Prefer losses in nats, the unit of `I(A;B)`: cross-entropies,
            negative log-likelihoods, or the squared error divided by twice the variance
            of the noise.
        loss_b: Loss of task B. Must be `None` if `loss_a` is a dictionary. Defaults to
            `None`.
        beta: Weight of the mutual information: a non-negative number, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the optimizer's
            iterations. With values greater than 1, predictions become overconfident at
            the cost of accuracy, and a warning is issued. Defaults to `1.0`, the
            objective of the article.
        estimator: A `method` of `kml.information.mutual_information`: `"auto"`,
            `"quadrature"`, `"pairwise_bhattacharyya"` or `"pairwise_kl"`; a dictionary
            with any of its arguments `method`, `num_points`, `bandwidth` and
            `leave_one_out`; or a function `(dist_a, dist_b) -> scalar` of two TFP
            distributions. `{"leave_one_out": True}` is more accurate for small batches
            and narrow predictions. Defaults to `"auto"`.
        output_kinds: Kind of output of each task, by name: `"logits"`,
            `"probabilities"`, `"binary_logits"`, `"binary_probabilities"`, `"value"`,
            or a function from outputs to a TFP distribution with batch shape `[N]` (or
            `[N * M]`, M consecutive rows per example). Defaults to `None`, which infers
            all kinds from the losses.
        pairs: Pairs of task names whose mutual information is computed. An empty list
            computes none, which saves time if the networks are trained independently.
            Defaults to `None`, which uses all pairs.
        name: Name of the loss. Defaults to `"mutual_information_loss"`.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Targets of the tasks, a dictionary by name, or a tuple in the order of
            the tasks; each `[N, ...]`.
        y_pred: Predictions of the tasks, a dictionary by name, or a tuple in the order
            of the tasks; each `[N, ...]`.
        sample_weight: Weights `[N]` of the examples in the losses of all tasks and in
            `I(A;B)`, or a dictionary or tuple of weights of the tasks, which affect
            their losses only. Weights `[N, T]` of time steps are averaged over the
            steps for `I(A;B)`, and steps of weight 0 are masked.

    Raises:
        ValueError: If an argument is invalid, or if the loss is called without the
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
        output_kinds: dict[str, OutputKind] | None = None,
        pairs: Sequence[Pair] | None = None,
        name: str = "mutual_information_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.losses = losses_by_task(loss_a, loss_b)
        self.output_kinds = output_kinds_by_task(self.losses, output_kinds)
        self.pairs = checked_pairs(self.losses, pairs)
        self.estimator = estimator
        self.options = options_of(estimator)
        self.beta = beta
        highest = check_scheduled_weight("beta", beta)
        if isinstance(beta, Schedule):
            self.track_step("beta_step")
        else:
            self.beta = float(beta)
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
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        context: LossContext | None = None,
    ) -> tf.Tensor:
        context = self.prepare_context(context, y_pred)
        with tf.name_scope(self.name):
            terms = self.compute_terms(y_true, y_pred, sample_weight, context=context)
            return self.reduce(terms.values)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        return self.compute_terms(y_true, y_pred).values

    def values(self, y_true: Any, y_pred: Any, context: LossContext) -> tf.Tensor:
        return self.compute_terms(y_true, y_pred, context=context).values

    def compute_terms(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        information_scale: tf.Tensor | None = None,
        context: LossContext | None = None,
    ) -> JointLossTerms:
        """Computes the per-example objective and its terms.

        Args:
            y_true: Targets of the tasks, a dictionary by name or a tuple in order.
            y_pred: Predictions of the tasks, a dictionary by name or a tuple in order.
            sample_weight: Weights `[N]`, or a dictionary or tuple of weights of the
                tasks. Defaults to `None`.
            information_scale: Scalar that multiplies `beta`. Defaults to `None`, which
                is the same as 1.
            context: A `kml.losses.LossContext` with the step of a scheduled `beta` and
                the inputs that the losses of the tasks require. Defaults to `None`,
                which is an empty context.

        Returns:
            `JointLossTerms`.
        """
        context = self.prepare_context(context, None)
        y_true, y_pred = self.by_task("y_true", y_true), self.by_task("y_pred", y_pred)
        y_pred = cast_predictions(y_pred, self.dtype)
        shared = None
        if sample_weight is None or not keras.tree.is_nested(sample_weight):
            shared = sample_weight
            sample_weight = dict.fromkeys(self.tasks, shared)
        sample_weight = self.by_task("sample_weight", sample_weight)
        losses = {
            name: labeled_loss(
                loss, y_true[name], y_pred[name], sample_weight[name], context
            )
            for name, loss in self.losses.items()
        }
        values = sum(tf.cast(loss.rows, self.dtype) for loss in losses.values())
        y_pred, weights = included_predictions(y_pred, shared)
        if self.step is None and self.beta == 0:
            # The information is computed for the logs only. The objective is the sum
            # of the losses.
            y_pred = {name: tf.stop_gradient(y) for name, y in y_pred.items()}
            information, entropies = self._information(y_pred, weights)
            return JointLossTerms(values, losses, information, entropies)
        information, entropies = self._information(y_pred, weights)
        weight = scheduled_value(self.beta, context.step, self.dtype)
        if information_scale is not None:
            weight = weight * tf.cast(information_scale, self.dtype)
        total = sum(tf.cast(i, self.dtype) for i in information.values())
        return JointLossTerms(values - weight * total, losses, information, entropies)

    def distributions(self, y_pred: Any) -> dict[str, Any]:
        """Returns the predicted TFP distribution of each task, by name."""
        y_pred = self.by_task("y_pred", y_pred)
        return {
            name: output_distribution(self.output_kinds[name], y)
            for name, y in y_pred.items()
        }

    def reduce(self, values: tf.Tensor) -> tf.Tensor:
        """Reduces per-example values as Keras does, with its scaling for replicas."""
        return reduce_weighted(values, reduction=self.reduction, dtype=self.dtype)

    def _information(
        self, y_pred: dict[str, Any], weights: Any
    ) -> tuple[dict[Pair, tf.Tensor], dict[str, tf.Tensor]]:
        distributions = self.distributions(y_pred)
        if self.options is None:
            estimator: Any = self.estimator  # Functions have no options.
            pairwise = {
                (a, b): checked_estimate(estimator(distributions[a], distributions[b]))
                for a, b in self.pairs
            }
            return pairwise, {}
        if weights is not None:
            # A function in `output_kinds` may return several rows per example.
            rows = next(iter(distributions.values())).batch_shape_tensor()[0]
            weights = row_weights(tf.cast(weights, self.dtype), rows)
        batch = PredictedBatch.from_distributions(
            distributions, weights, self.options.bandwidth
        )
        information, entropies = information_and_entropies(
            batch, self.options, self.pairs, self.tasks
        )
        return (
            dict(zip(self.pairs, information, strict=True)),
            dict(zip(self.tasks, entropies, strict=True)),
        )

    def by_task(self, argument: str, value: Any) -> dict[str, Any]:
        """Converts a dictionary or tuple to a dictionary by task name.

        Args:
            argument: Name of `value` in the error message.
            value: A dictionary by task name, or a tuple in the order of the tasks.

        Raises:
            ValueError: If `value` does not have one entry per task.
        """
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

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "losses": {name: serialize(loss) for name, loss in self.losses.items()},
            "output_kinds": {
                name: serialize(kind) for name, kind in self.output_kinds.items()
            },
            "pairs": [list(pair) for pair in self.pairs],
            "beta": serialize(self.beta),
            "estimator": serialize(self.estimator),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MutualInformationLoss:
        config = dict(config)
        # Files of early versions use the name `heads` for `output_kinds`.
        if "heads" in config:
            config["output_kinds"] = config.pop("heads")
        deserialize = keras.saving.deserialize_keras_object
        for key in ("losses", "output_kinds"):
            config[key] = {k: deserialize(v) for k, v in config[key].items()}
        for key in ("beta", "estimator"):
            config[key] = deserialize(config[key])
        config["pairs"] = [tuple(pair) for pair in config["pairs"]]
        with warnings.catch_warnings():
            # The warning was issued when the loss was created.
            warnings.filterwarnings("ignore", "With `beta` greater than 1")
            return cls(config.pop("losses"), **config)
