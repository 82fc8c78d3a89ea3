"""Adaptation to one task outside of `fit`, traced if it is repeated."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation import Adaptation, Adapted, Task
from keras_metaloss.adaptation._core.inner_loss import InnerLoss

__all__ = ["AdaptFunction"]


class AdaptFunction:
    """Runs the inner loop of `MetaModel.adapt`, eagerly once and traced afterwards.

    The first call runs operation by operation, because tracing takes longer than a
    single adaptation. Further calls run a traced function. It accepts any number of
    support examples after the second shape, so that it is traced a few times at most.
    It is traced again after `compile`, and after changes of the layers, variables or
    `trainable` flags of the learner.

    Args:
        model: The `MetaModel`.
        inner_loss: Returns the inner loss, or `None` for methods without one.
    """

    def __init__(
        self, model: keras.Model, inner_loss: Callable[[], InnerLoss | None]
    ) -> None:
        self._model = model
        self._inner_loss = inner_loss
        self._lock = threading.Lock()
        self._setup: _Setup | None = None
        self._function: Callable[..., Adapted] | None = None

    def __call__(self, task: Task) -> Adapted:
        """Adapts to the support set of a task whose queries are the support set."""
        function = self._traced()
        if function is None:
            return self._adapt(task)
        adapted = function(task.support_x, task.support_y, task.support_mask)
        return adapted._replace(steps=int(adapted.steps))

    def _adapt(self, task: Task) -> Adapted:
        adaptation: Adaptation = self._model.adaptation
        return adaptation.adapt(task, self._inner_loss(), training=False)

    def _traced(self) -> Callable[..., Adapted] | None:
        """Returns the traced function, or `None` to adapt eagerly."""
        if self._model.run_eagerly or not self._model.adaptation.uses_inner_loss:
            # Without an inner loop, a traced function would not be much faster.
            return None
        setup = _Setup(self._model)
        with self._lock:
            if self._setup is None or not setup.equals(self._setup):
                self._setup, self._function = setup, None
                return None
            if self._function is None:
                self._function = self._new_function()
            return self._function

    def _new_function(self) -> Callable[..., Adapted]:
        @tf.function(reduce_retracing=True, autograph=False)
        def adapt(support_x: Any, support_y: Any, support_mask: Any) -> Adapted:
            mask = support_mask
            task = Task(support_x, support_y, support_x, mask, mask, tf.constant(0))
            return self._adapt(task)

        return adapt


class _Setup:
    """Everything that a traced function depends on, except the values of variables."""

    def __init__(self, model: keras.Model) -> None:
        learner = model.learner
        layers = [learner, *_compat.flatten_layers(learner)]
        self._objects = [
            _compat.compiled_loss(model),
            model.optimizer if model.compiled else None,
            *layers,
            *learner.variables,
            *model.adaptation.variables,
        ]
        flags = tuple(layer.trainable for layer in layers)
        self._values = (keras.config.floatx(), flags)

    def equals(self, other: _Setup) -> bool:
        """Returns whether a function traced with one setup is valid for the other."""
        # Equality of variables would be elementwise.
        same = len(self._objects) == len(other._objects) and all(
            a is b for a, b in zip(self._objects, other._objects, strict=True)
        )
        return same and self._values == other._values
