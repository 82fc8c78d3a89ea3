"""One task, the learner adapted to it, and what the outer loop gets of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_metaloss.adaptation._core.functional_learner import LearnerState, Weights

__all__ = ["Adapted", "Task", "TaskResult"]


class Task(NamedTuple):
    """Support set and queries of one task.

    Attributes:
        support_x: support inputs, `[S, ...]`, or a structure of such tensors.
        support_y: support targets, `[S, ...]`, or a structure of such tensors.
        query_x: query inputs, `[Q, ...]`, or a structure of such tensors.
        support_mask: `[S]`, true for real examples; `None` if all are real. Defaults
            to `None`.
        query_mask: `[Q]`, true for real queries; `None` if all are real. Defaults to
            `None`.
        stream: integer scalar that selects the random numbers of this task. Defaults
            to 0.
    """

    support_x: Any
    support_y: Any
    query_x: Any
    support_mask: tf.Tensor | None = None
    query_mask: tf.Tensor | None = None
    stream: Any = 0


class Adapted(NamedTuple):
    """A learner after adaptation to one task.

    Attributes:
        weights: one tensor per trainable variable of the learner.
        state: values that layers have written during adaptation.
        steps: number of inner steps taken.
        first_gradients: gradients of the first inner step, or an empty list.
        memory: representation of the support set, a structure of tensors, for methods
            that do not adapt weights. `None` for other methods. Defaults to `None`.
    """

    weights: Weights
    state: LearnerState
    steps: Any
    first_gradients: Weights
    memory: Any = None


class TaskResult(NamedTuple):
    """Predictions of one task; of a batch of tasks with a leading task axis.

    Attributes:
        y_pred: predictions of the queries by the adapted learner, `[Q, ...]`.
        state: values of `Adaptation.state_variables` after the task; empty outside of
            training.
        earlier: predictions by the earlier learners of `Adaptation.outer_path`.
        gradient: gradient of the support loss at the initialization, `[P]`; an empty
            tuple unless it was requested.
    """

    y_pred: Any
    state: Any = ()
    earlier: Any = ()
    gradient: Any = ()
