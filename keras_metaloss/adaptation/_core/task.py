"""Tasks, adapted learners and the results of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from keras_metaloss.adaptation._core.functional_learner import LearnerState, Weights

__all__ = ["Adapted", "Task", "TaskResult", "TaskRunner"]


class Task(NamedTuple):
    """Support set and queries of one task.

    Attributes:
        support_x: Support inputs, `[S, ...]`, or a structure of such tensors.
        support_y: Support targets, `[S, ...]`, or a structure of such tensors.
        query_x: Query inputs, `[Q, ...]`, or a structure of such tensors.
        support_mask: `[S]`, `True` for real examples; `None` if all are real. Defaults
            to `None`.
        query_mask: `[Q]`, `True` for real queries; `None` if all are real. Defaults to
            `None`.
        stream: Integer scalar that selects the random numbers of this task. Defaults
            to `0`.
        features: Outputs of the layers that the inner loop does not change, for the
            support set. `None` if the inner loop runs all layers. Defaults to `None`.

    Example:

    >>> import tensorflow as tf, keras_metaloss as kml
    >>> x = tf.zeros([5, 2])
    >>> task = kml.adaptation.Task(support_x=x, support_y=tf.range(5), query_x=x)
    >>> task.support_y.shape, task.query_mask
    (TensorShape([5]), None)
    """

    support_x: Any
    support_y: Any
    query_x: Any
    support_mask: tf.Tensor | None = None
    query_mask: tf.Tensor | None = None
    stream: Any = 0
    features: Any = None


class Adapted(NamedTuple):
    """A learner after adaptation to one task.

    Attributes:
        weights: One tensor per trainable variable of the learner.
        state: Values of the statistics that layers updated during adaptation.
        steps: Number of inner steps taken.
        first_gradients: Gradients of the first inner step, or an empty list.
        memory: Representation of the support set, a structure of tensors, for methods
            that do not adapt weights. `None` for other methods. Defaults to `None`.

    Example:

    >>> import keras, tensorflow as tf, keras_metaloss as kml
    >>> adaptation = kml.adaptation.MAML(steps=3)
    >>> adaptation.build_for(keras.Sequential([keras.Input((2,)),
    ...                                        keras.layers.Dense(1)]))
    >>> x = tf.zeros([5, 2])
    >>> start = adaptation.initial(kml.adaptation.Task(x, tf.zeros([5, 1]), x))
    >>> start.steps, [tuple(w.shape) for w in start.weights]
    (0, [(2, 1), (1,)])
    """

    weights: Weights
    state: LearnerState
    steps: Any
    first_gradients: Weights
    memory: Any = None


class TaskResult(NamedTuple):
    """Result of one task, or of a batch of tasks with a leading task axis.

    Attributes:
        y_pred: Predictions of the queries by the adapted learner, `[Q, ...]`.
        state: Values of `Adaptation.state_variables` after the task; empty outside of
            training. Defaults to `()`.
        earlier: Predictions by the earlier learners of `Adaptation.outer_path`.
            Defaults to `()`.
        gradient: Gradient of the support loss at the initialization, `[P]`; an empty
            tuple unless it was requested. Defaults to `()`.

    Example:

    >>> import keras, tensorflow as tf, keras_metaloss as kml
    >>> adaptation = kml.adaptation.PrototypicalNetwork(classes=2)
    >>> adaptation.build_for(keras.Sequential([keras.Input((2,)),
    ...                                        keras.layers.Dense(3)]))
    >>> x, y = tf.zeros([4, 5, 2]), tf.constant([[0, 1, 0, 1, 0]] * 4)
    >>> tasks = {"support_x": x, "support_y": y, "query_x": x}    # four tasks
    >>> result = adaptation.run_batch(tasks, None, None, training=False)
    >>> result.y_pred.shape
    TensorShape([4, 5, 2])
    """

    y_pred: Any
    state: Any = ()
    earlier: Any = ()
    gradient: Any = ()


class TaskRunner(Protocol):
    """Applies a function of one task to each task of a batch."""

    def __call__(
        self, function: Callable[[Any], Any], tasks: Any, signature: Any
    ) -> Any:
        """Applies `function` to each task and stacks the results.

        Args:
            function: Maps the tensors of one task to a structure of tensors.
            tasks: Structure of tensors with a leading task axis.
            signature: Structure of the dtypes of the result of `function`.
        """
