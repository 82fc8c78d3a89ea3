"""Base class of methods that adapt by gradient descent on the support set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.checks import (
    check_boolean,
    check_non_negative,
    check_positive_integer,
)
from keras_metaloss.adaptation import inner_optimizers
from keras_metaloss.adaptation._core.adaptation import Adaptation
from keras_metaloss.adaptation._core.functional_learner import LearnerState, Weights
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.adaptation._core.task import Adapted, Task
from keras_metaloss.adaptation.gradient_based._evaluation_loop import (
    looped_steps,
    steps_may_be_tensors,
)
from keras_metaloss.adaptation.gradient_based._fixed_features import with_features

__all__ = ["GradientAdaptation"]

# Prevents underflow of small gradients in float16; a power of two is exact.
_FLOAT16_SCALE = 1024.0


class GradientAdaptation(Adaptation):
    """Base class of methods that take gradient steps on the support set.

    Subclasses may override the adapted weights (`is_adapted`), the update rule
    (`update`) and the learners evaluated by the outer loss (`outer_path`). Evaluation
    takes the inner steps in a loop, in which the number of the step is a tensor. If a
    class overrides `path`, `step`, `gradients`, `support_pass` or `update`, evaluation
    copies the operations for each step, numbered by Python integers, unless the same
    class sets `loops_evaluation = True`.

    Args:
        steps: Number of inner steps in training. Defaults to `1`.
        learning_rate: Non-negative inner step size. `None` uses the learning rate of
            `optimizer`, or `default_learning_rate` without an optimizer. Defaults to
            `None`.
        optimizer: Keras optimizer (`SGD`, `RMSprop`, `Adam` or `AdamW`) whose
            settings define the inner update. `None` uses gradient descent. Defaults
            to `None`.
        first_order: Whether the outer loop treats inner gradients as constants.
            Defaults to `False`.
        evaluation_steps: Number of inner steps in `evaluate`, `predict`, `adapt` and
            `export`. `None` uses `steps`. Defaults to `None`.
        loss: Inner loss: a Keras loss, or a structure of losses for learners with
            several outputs. `None` uses the loss passed to `compile`. Defaults to
            `None`.
        normalization: Statistics used by batch normalization: `"support"` (of the
            support set, also for queries), `"batch"` (of the queries for queries,
            which is transductive), `"moving"` (moving averages in evaluation) or
            `"per_step"` (like `"support"`, with a separate scale and shift for each
            inner step). Defaults to `"support"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid, or if both `learning_rate` and
            `optimizer` are passed.

    Example:

    >>> import keras, numpy as np, keras_metaloss as kml
    >>> class BiasOnly(kml.adaptation.GradientAdaptation):
    ...     def is_adapted(self):
    ...         return [v.name == "bias" for v in self.weight_variables()]
    >>> learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> learner.set_weights([np.ones((1, 1)), np.zeros(1)])
    >>> model = kml.MetaModel(learner, BiasOnly(1, learning_rate=0.5, loss="mse"))
    >>> x, y = np.zeros((1, 1)), np.full((1, 1), 3.0)    # gradient of the bias: -6
    >>> adapted = model.adapt(x, y)
    >>> [w.tolist() for w in adapted.get_weights()]
    [[[1.0]], [3.0]]
    """

    provides_task_gradients = True
    #: If `True`, the methods that this class overrides accept steps that are tensors.
    loops_evaluation = True
    #: Default inner step size.
    default_learning_rate = 0.01

    def __init__(
        self,
        steps: int = 1,
        learning_rate: float | None = None,
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        first_order: bool = False,
        evaluation_steps: int | None = None,
        loss: Any = None,
        normalization: str = "support",
        name: str | None = None,
    ) -> None:
        super().__init__(loss=loss, normalization=normalization, name=name)
        self.steps = check_positive_integer("steps", steps)
        self.first_order = check_boolean("first_order", first_order)
        self.evaluation_steps = evaluation_steps
        if evaluation_steps is not None:
            check_positive_integer("evaluation_steps", evaluation_steps)
        self.learning_rate = _check_rate(
            learning_rate, optimizer, self.default_learning_rate
        )
        if optimizer is not None:
            inner_optimizers.from_keras(optimizer)  # Validates the settings.
        self.optimizer = optimizer

    @property
    def optimizer(self) -> keras.optimizers.Optimizer | None:
        """A copy of the Keras optimizer; changing it does not change the method."""
        return _copy(self._optimizer)

    @optimizer.setter
    def optimizer(self, optimizer: keras.optimizers.Optimizer | None) -> None:
        self._optimizer = _copy(optimizer)

    @functools.cached_property
    def inner_optimizer(self) -> inner_optimizers.InnerOptimizer:
        """The update rule of the inner loop, from the settings at first use."""
        if self._optimizer is None:
            return inner_optimizers.sgd(self.learning_rate)
        return inner_optimizers.from_keras(self._optimizer)

    def build_for(self, learner: keras.Model) -> None:
        super().build_for(learner)
        has_float16 = any(
            layer.compute_dtype == "float16"
            for layer in _compat.flatten_layers(learner)
        )
        self._loss_scale = _FLOAT16_SCALE if has_float16 else 1.0
        # Settings of an optimizer cannot be read while a function is traced.
        _ = self.inner_optimizer

    @property
    def differentiates_twice(self) -> bool:
        return self.outer_rule == "gradient" and not self.first_order

    def adapt(
        self, task: Task, inner_loss: InnerLoss | None, *, training: bool
    ) -> Adapted:
        if training or not steps_may_be_tensors(type(self), GradientAdaptation):
            return self.path(task, inner_loss, training=training)[-1]
        adapted = self.initial(task)
        task = with_features(self, task, adapted, training=training)
        return looped_steps(
            lambda adapted, optimizer_state: self.step(
                adapted, optimizer_state, task, inner_loss, training=False
            ),
            adapted,
            self.inner_optimizer.init(self.select_adapted(adapted.weights)),
            self.step_count(training),
            self.select_adapted,
            self.merge_adapted,
            [*self.variables, *self._functional.learner.variables],
        )

    def path(
        self, task: Task, inner_loss: InnerLoss | None, *, training: bool
    ) -> list[Adapted]:
        """Returns the learner after each inner step."""
        adapted = self.initial(task)
        task = with_features(self, task, adapted, training=training)
        optimizer_state = self.inner_optimizer.init(
            self.select_adapted(adapted.weights)
        )
        path = []
        for _ in range(self.step_count(training)):
            adapted, optimizer_state = self.step(
                adapted, optimizer_state, task, inner_loss, training=training
            )
            path.append(adapted)
        return path

    def step_count(self, training: bool) -> int:
        """Returns the number of inner steps."""
        return self.steps if training else self.evaluation_steps or self.steps

    def step(
        self,
        adapted: Adapted,
        optimizer_state: Any,
        task: Task,
        inner_loss: InnerLoss | None,
        *,
        training: bool,
    ) -> tuple[Adapted, Any]:
        """Takes one inner step."""
        gradients, state = self.gradients(adapted, task, inner_loss, training=training)
        weights, optimizer_state = self.update(
            adapted.steps,
            gradients,
            optimizer_state,
            self.select_adapted(adapted.weights),
        )
        stepped = Adapted(
            self.merge_adapted(adapted.weights, weights),
            state,
            adapted.steps + 1,
            adapted.first_gradients or gradients,
        )
        return stepped, optimizer_state

    def gradients(
        self,
        adapted: Adapted,
        task: Task,
        inner_loss: InnerLoss | None,
        *,
        training: bool,
    ) -> tuple[Weights, Any]:
        """Returns gradients of the inner loss, and the state after the pass."""
        if inner_loss is None:
            raise ValueError(
                "Invalid value for argument `inner_loss`. Expected the loss that "
                f"{type(self).__name__} minimizes. Received: inner_loss=None"
            )
        adapting = self.select_adapted(adapted.weights)
        with tf.GradientTape() as tape:
            tape.watch(adapting)
            output = self.support_pass(task, adapted, training=training)
            loss = inner_loss(
                task.support_y, output.outputs, task.support_mask, output.penalties
            )
            loss *= tf.cast(self._loss_scale, loss.dtype)
        gradients = tape.gradient(
            loss, adapting, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        # The gradient of a gather, as in `Embedding`, is sparse.
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        if self._loss_scale != 1.0:
            gradients = [g / self._loss_scale for g in gradients]
        if self.first_order:
            gradients = [tf.stop_gradient(g) for g in gradients]
        return gradients, output.state

    def descend(
        self,
        task: Task,
        inner_loss: InnerLoss | None,
        *,
        training: bool,
        batch: Callable[[tf.Tensor], Task] | None = None,
        proximal_weight: float = 0.0,
    ) -> Adapted:
        """Takes all inner steps in one loop, without gradients through the loop.

        Memory and compilation time do not grow with the number of steps.

        Args:
            task: Support set and queries of one task.
            inner_loss: Loss minimized by the inner loop.
            training: Whether the model is being trained.
            batch: Function from an inner step to the task with the support examples
                used at that step. `None` uses all of them. Defaults to `None`.
            proximal_weight: Weight of `|w - w_0|^2 / 2` in the inner loss. Defaults to
                `0.0`.

        Returns:
            The adapted learner, an `Adapted`.
        """
        start = self.initial(task)
        origin = [tf.stop_gradient(w) for w in start.weights]
        count = tf.constant(self.step_count(training))
        if batch is None:
            fixed = start._replace(weights=origin)
            task = with_features(self, task, fixed, training=training)

        def body(
            step: tf.Tensor, weights: Weights, state: LearnerState, optimizer_state: Any
        ) -> tuple[tf.Tensor, Weights, LearnerState, Any]:
            adapted = Adapted(weights, state, step, [])
            examples = task if batch is None else batch(step)
            gradients, state = self.gradients(
                adapted, examples, inner_loss, training=training
            )
            adapting = self.select_adapted(weights)
            if proximal_weight:
                pairs = zip(
                    gradients, adapting, self.select_adapted(origin), strict=True
                )
                gradients = [g + proximal_weight * (w - o) for g, w, o in pairs]
            adapting, optimizer_state = self.update(
                step, gradients, optimizer_state, adapting
            )
            merged = self.merge_adapted(weights, adapting)
            return step + 1, merged, state, optimizer_state

        _, weights, state, _ = tf.while_loop(
            lambda step, *_: step < count,
            body,
            (
                tf.constant(0),
                origin,
                start.state,
                self.inner_optimizer.init(self.select_adapted(origin)),
            ),
            maximum_iterations=count,
        )
        weights = [tf.stop_gradient(w) for w in weights]
        state = tf.nest.map_structure(tf.stop_gradient, state)
        return Adapted(weights, state, self.step_count(training), [])

    def update(
        self,
        step: int | tf.Tensor,
        gradients: Weights,
        optimizer_state: Any,
        weights: Weights,
    ) -> tuple[Weights, Any]:
        """Returns new values of the adapted weights and a new optimizer state."""
        del step
        updates, optimizer_state = self.inner_optimizer.update(
            gradients, optimizer_state, weights
        )
        new = [w + u for w, u in zip(weights, updates, strict=True)]
        return new, optimizer_state

    def is_adapted(self) -> list[bool]:
        """Returns, per trainable variable of the learner, whether it is adapted."""
        return [True] * len(self._functional.weight_variables)

    def select_adapted(self, weights: Weights) -> Weights:
        """Selects the adapted weights from `weights`."""
        pairs = zip(weights, self.is_adapted(), strict=True)
        return [weight for weight, adapted in pairs if adapted]

    def merge_adapted(self, weights: Weights, adapted: Weights) -> Weights:
        """Returns `weights` with the adapted ones replaced by `adapted`."""
        replacements = iter(adapted)
        pairs = zip(weights, self.is_adapted(), strict=True)
        return [next(replacements) if is_adapted else w for w, is_adapted in pairs]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "first_order": self.first_order,
            "evaluation_steps": self.evaluation_steps,
        }


def _copy(
    optimizer: keras.optimizers.Optimizer | None,
) -> keras.optimizers.Optimizer | None:
    """Returns an optimizer with the same settings."""
    if optimizer is None:
        return None
    return type(optimizer).from_config(optimizer.get_config())


def _check_rate(
    learning_rate: float | None,
    optimizer: keras.optimizers.Optimizer | None,
    default: float,
) -> float | None:
    """Returns the learning rate, or `None` if the optimizer defines it."""
    if optimizer is None:
        rate = default if learning_rate is None else learning_rate
        return check_non_negative("learning_rate", rate)
    if learning_rate is not None:
        raise ValueError(
            "Invalid value for argument `learning_rate`. Pass `learning_rate` or "
            "`optimizer`, not both. Received: "
            f"learning_rate={learning_rate!r}"
        )
    return None
