"""Base class of metric-based methods, which compare embeddings."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer
from keras_metaloss.adaptation._core.adaptation import Adaptation
from keras_metaloss.adaptation._core.copy_learner import copy_learner
from keras_metaloss.adaptation._core.functional_learner import LearnerOutput
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.adaptation._core.normalization import (
    BatchMoments,
    batch_normalizations,
)
from keras_metaloss.adaptation._core.task import Adapted, Task, TaskResult, TaskRunner
from keras_metaloss.adaptation.metric_based.metric_classifier import MetricClassifier

__all__ = ["MetricAdaptation"]

Memory = dict[str, tf.Tensor]

# Score of a class without support examples.
_ABSENT = -1e9


class MetricAdaptation(Adaptation):
    """Base class of methods that compare query embeddings with support embeddings.

    The learner returns one embedding per example (for example
    `kml.learners.conv4(shape)`), not logits. Subclasses implement `memorize`, which
    computes a representation of the support set, and `score`, which computes the
    logits `[T, Q, C]` of queries: compile with
    `SparseCategoricalCrossentropy(from_logits=True)`. Targets are integer labels,
    starting at 0, or one-hot vectors. The same model supports any number of ways and
    shots.

    Args:
        classes: Number of logits C. `None` uses the largest integer label of the
            batch plus one, which XLA (`jit_compile=True`) does not support. Defaults
            to `None`.
        normalization: Statistics used by batch normalization: `"moving"` (the
            default behavior of Keras, and the fastest: one pass of the learner over
            all tasks), `"support"` (of the support set, also for queries) or
            `"batch"` (of the queries for queries, which is transductive). The last
            two process each task separately. Defaults to `"moving"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid, or if the learner does not have one
            output of known shape.

    Example:

    >>> import keras, numpy as np, tensorflow as tf, keras_metaloss as kml
    >>> class NearestMean(kml.adaptation.MetricAdaptation):
    ...     def memorize(self, embeddings, classes, mask, *, training):
    ...         counts = tf.reduce_sum(classes, axis=1)[..., tf.newaxis]
    ...         sums = tf.einsum("tsc,tsd->tcd", classes, embeddings)
    ...         return {"means": sums / counts}
    ...     def score(self, queries, memory, *, training):
    ...         gap = queries[:, :, tf.newaxis] - memory["means"][:, tf.newaxis]
    ...         return -tf.reduce_sum(tf.abs(gap), axis=-1)
    >>> learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> learner.set_weights([np.ones((1, 1)), np.zeros(1)])
    >>> model = kml.MetaModel(learner, NearestMean(classes=2))
    >>> x, y = np.array([[1.0], [3.0], [6.0]]), np.array([0, 0, 1])
    >>> classifier = model.adapt(x, y)
    >>> classifier(np.array([[4.0]])).numpy().tolist()
    [[-2.0, -2.0]]
    """

    uses_inner_loss = False
    # By default, one pass of the learner embeds all tasks of a batch.
    runs_tasks_separately = False

    def __init__(
        self,
        *,
        classes: int | None = None,
        normalization: str = "moving",
        name: str | None = None,
    ) -> None:
        super().__init__(normalization=normalization, name=name)
        if normalization == "per_step":
            raise ValueError(
                "Invalid value for argument `normalization`. Expected one of "
                "('support', 'batch', 'moving'): metric-based methods have no inner "
                f"steps. Received: normalization={normalization!r}"
            )
        self.classes = classes
        if classes is None:
            # Keeps `jit_compile="auto"` from choosing XLA.
            self.supports_jit = False
        else:
            check_positive_integer("classes", classes)

    def build_for(self, learner: keras.Model) -> None:
        super().build_for(learner)
        shape = getattr(learner, "output_shape", None)
        if shape is None:
            raise ValueError(
                "Invalid value for argument `learner`. "
                f"{type(self).__name__} expects a known output shape. Wrap subclassed "
                "models in `keras.Sequential([keras.Input(shape), learner])`. "
                f"Received: learner={learner.name!r}"
            )
        if not isinstance(shape, tuple) or keras.tree.flatten(shape)[0] is not None:
            raise ValueError(
                "Invalid value for argument `learner`. "
                f"{type(self).__name__} expects one output, an embedding. "
                f"Received: learner={learner.name!r} with "
                f"output_shape={shape}"
            )
        self.build_head(tuple(shape[1:]))

    # Methods for subclasses to implement.

    def build_head(self, embedding_shape: tuple[int, ...]) -> None:
        """Creates the variables of the method."""

    def memorize(
        self,
        embeddings: tf.Tensor,
        classes: tf.Tensor,
        mask: tf.Tensor | None,
        *,
        training: bool,
    ) -> Memory:
        """Computes a representation of the support sets.

        Args:
            embeddings: Support embeddings, `[T, S, ...]`.
            classes: One-hot targets, `[T, S, C]`; zero rows for masked examples.
            mask: `[T, S]`, `True` for real examples. `None` uses all examples.
            training: Whether the model is being trained.

        Returns:
            A dictionary of tensors with a leading task axis.
        """
        raise NotImplementedError

    def score(self, queries: tf.Tensor, memory: Memory, *, training: bool) -> tf.Tensor:
        """Computes logits `[T, Q, C]` of query embeddings `[T, Q, ...]`."""
        raise NotImplementedError

    # Methods called by `kml.MetaModel`.

    def run_batch(
        self,
        tensors: dict[str, Any],
        inner_loss: InnerLoss | None,
        execution: TaskRunner,
        *,
        training: bool,
        with_gradient: bool = False,
    ) -> TaskResult:
        jointly = self.normalization == "moving" or not batch_normalizations(
            self._functional.learner
        )
        embed = self._embed_jointly if jointly else self._embed_separately
        support, queries, state = embed(tensors, execution, training)
        memory = self._memory(
            support, tensors["support_y"], tensors.get("support_mask"), training
        )
        return TaskResult(self._logits(queries, memory, training), state)

    def to_model(self, adapted: Adapted, task: Task) -> keras.Model:
        copy = copy_learner(self._functional.learner, task.support_x)
        self.install(copy, adapted, task)
        head = type(self).from_config(self.get_config())
        model = MetricClassifier(copy, head, adapted.memory)
        head.set_weights(self.get_weights())
        return model

    def adapt(
        self, task: Task, inner_loss: InnerLoss | None, *, training: bool
    ) -> Adapted:
        initial = self.initial(task)
        output = self.support_pass(task, initial, training=training)
        mask = None if task.support_mask is None else task.support_mask[tf.newaxis]
        targets = tf.convert_to_tensor(task.support_y)[tf.newaxis]
        memory = self._memory(output.outputs[tf.newaxis], targets, mask, training)
        memory = {name: value[0] for name, value in memory.items()}
        return initial._replace(memory=memory)

    def predict(self, adapted: Adapted, task: Task, *, training: bool) -> LearnerOutput:
        output = super().predict(adapted, task, training=training)
        logits = self.classify(output.outputs, adapted.memory, training=training)
        return output._replace(outputs=logits)

    def classify(
        self, embeddings: tf.Tensor, memory: Memory, *, training: bool
    ) -> tf.Tensor:
        """Computes logits `[Q, C]` of the embeddings `[Q, ...]` of one task."""
        memory = {
            name: tf.convert_to_tensor(value)[tf.newaxis]
            for name, value in memory.items()
        }
        return self._logits(embeddings[tf.newaxis], memory, training)[0]

    def _memory(
        self,
        support: tf.Tensor,
        targets: tf.Tensor,
        mask: tf.Tensor | None,
        training: bool,
    ) -> Memory:
        support = _float32(support)
        classes = self._one_hot(targets, support.dtype)
        if mask is not None:
            classes *= tf.cast(mask, support.dtype)[..., tf.newaxis]
        memory = self.memorize(support, classes, mask, training=training)
        return {**memory, "present": tf.reduce_max(classes, axis=1)}

    def _logits(self, queries: tf.Tensor, memory: Memory, training: bool) -> tf.Tensor:
        scores = self.score(_float32(queries), memory, training=training)
        scores = _float32(scores)
        present = memory["present"][:, tf.newaxis, :] > 0
        return tf.where(present, scores, tf.constant(_ABSENT, scores.dtype))

    def _one_hot(self, targets: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        if targets.shape.rank == 3 and targets.shape[-1] != 1:
            if self.classes not in (None, targets.shape[-1]):
                raise ValueError(
                    "Invalid value for argument `support_y`. Expected one-hot targets "
                    f"for classes={self.classes}. "
                    f"Received: support_y.shape={tuple(targets.shape)}"
                )
            return tf.cast(targets, dtype)
        if targets.shape.rank == 3:
            targets = targets[..., 0]
        targets = tf.cast(targets, tf.int32)
        classes = self.classes
        if classes is None:
            classes = tf.reduce_max(targets) + 1
        if tf.executing_eagerly() and targets.shape.num_elements():
            low, high = int(tf.reduce_min(targets)), int(tf.reduce_max(targets))
            if low < 0 or high >= int(classes):
                raise ValueError(
                    "Invalid value for argument `support_y`. Expected integer labels "
                    f"from 0 to {int(classes) - 1}. Received: values from {low} to "
                    f"{high}"
                )
        return tf.one_hot(targets, classes, dtype=dtype)

    def _embed_jointly(
        self, tensors: dict[str, Any], execution: TaskRunner, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Computes the embeddings of all tasks in one pass of the learner."""
        del execution
        support, queries = (
            keras.tree.flatten(tensors[key])[0] for key in ("support_x", "query_x")
        )
        tasks, shots = tf.shape(support)[0], tf.shape(support)[1]
        total = shots + tf.shape(queries)[1]
        x = keras.tree.map_structure(
            lambda s, q: _merge_task_axis(tf.concat([s, q], axis=1)),
            tensors["support_x"],
            tensors["query_x"],
        )
        initial = self.initial(_first_task(tensors))
        moments = BatchMoments(mask=_joint_mask(tensors), from_batch=False)
        output = self._run(x, initial, moments, training=training)
        shape = tf.concat([[tasks, total], tf.shape(output.outputs)[1:]], axis=0)
        embeddings = tf.reshape(output.outputs, shape)
        embeddings.set_shape([support.shape[0], None, *output.outputs.shape[1:]])
        states = [
            tf.broadcast_to(v, tf.concat([[tasks], tf.shape(v)], axis=0))
            for v in self.state_values(output.state)
        ]
        support_static, query_static = support.shape[1], queries.shape[1]
        left, right = embeddings[:, :shots], embeddings[:, shots:]
        left.set_shape([None, support_static, *left.shape[2:]])
        right.set_shape([None, query_static, *right.shape[2:]])
        return left, right, states

    def _embed_separately(
        self, tensors: dict[str, Any], execution: TaskRunner, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Computes the embeddings of each task separately, with its statistics."""

        def one_task(
            entries: dict[str, Any],
        ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
            task = Task(**entries)
            initial = self.initial(task)
            support = self.support_pass(task, initial, training=training)
            after = initial._replace(state=support.state)
            output = super(MetricAdaptation, self).predict(
                after, task, training=training
            )
            return support.outputs, output.outputs, self.state_values(output.state)

        dtype = tf.as_dtype(self._functional.learner.outputs[0].dtype)
        states = [tf.as_dtype(v.dtype) for v in self.state_variables()]
        return execution(one_task, tensors, (dtype, dtype, states))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["loss"]
        return {**config, "classes": self.classes}


def flattened(embeddings: tf.Tensor) -> tf.Tensor:
    """Flattens `[T, N, ...]` to `[T, N, D]`."""
    rank = embeddings.shape.rank
    if rank == 3:
        return embeddings
    shape = tf.shape(embeddings)
    size = math.prod(embeddings.shape[2:])
    return tf.reshape(embeddings, [shape[0], shape[1], size])


def _float32(embeddings: tf.Tensor) -> tf.Tensor:
    """Casts to float32, for heads under mixed precision; keeps float64."""
    if embeddings.dtype == tf.float64:
        return embeddings
    return tf.cast(embeddings, tf.float32)


def _merge_task_axis(x: tf.Tensor) -> tf.Tensor:
    """Reshapes `[T, N, ...]` to `[T * N, ...]`."""
    return tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], axis=0))


def _joint_mask(tensors: dict[str, Any]) -> tf.Tensor | None:
    """Returns the mask `[T * (S + Q)]` of all examples, or `None` if all are real."""
    if "support_mask" not in tensors and "query_mask" not in tensors:
        return None
    masks = []
    for part in ("support", "query"):
        x = keras.tree.flatten(tensors[f"{part}_x"])[0]
        mask = tensors.get(f"{part}_mask")
        masks.append(
            tf.ones(tf.shape(x)[:2], tf.bool) if mask is None else tf.cast(mask, bool)
        )
    return tf.reshape(tf.concat(masks, axis=1), [-1])


def _first_task(tensors: dict[str, Any]) -> Task:
    return Task(**keras.tree.map_structure(lambda t: t[0], tensors))
