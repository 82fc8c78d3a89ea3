"""Optimizers of the inner loop: differentiable pure functions.

Each optimizer is a pair `(init, update)` over lists of tensors, as in optax, and takes
the steps of the Keras optimizer of the same name. Where Keras divides by
`sqrt(v) + epsilon`, these optimizers divide by `sqrt(v + epsilon ** 2)`. Both agree at
`v = 0` and differ by at most `epsilon` elsewhere. The second is differentiable at
`v = 0`, where the derivative of the square root alone is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative

__all__ = ["InnerOptimizer", "adam", "adamw", "clipped", "from_keras", "rmsprop", "sgd"]

Weights = list[tf.Tensor]
Rate: TypeAlias = float | tf.Tensor | keras.optimizers.schedules.LearningRateSchedule


class InnerOptimizer(NamedTuple):
    """Pair of pure functions that defines an inner optimizer.

    Attributes:
        init: Function from weights to the initial state, a dictionary of tensors and
            lists of tensors.
        update: Function from `(gradients, state, weights)` to `(updates, state)`. The
            caller adds the updates to the weights.

    Example:

    >>> import tensorflow as tf
    >>> def update(gradients, state, weights):
    ...     return [-0.1 * tf.sign(g) for g in gradients], state
    >>> sign_descent = InnerOptimizer(init=lambda weights: {}, update=update)
    >>> updates, _ = sign_descent.update([tf.constant([3.0])], {}, [tf.constant([1.0])])
    >>> round(float(updates[0][0]), 4)
    -0.1
    """

    init: Callable[[Weights], dict[str, Any]]
    update: Callable[[Weights, dict[str, Any], Weights], tuple[Weights, dict[str, Any]]]


def sgd(
    learning_rate: Rate, momentum: float = 0.0, nesterov: bool = False
) -> InnerOptimizer:
    """Creates gradient descent: `m = momentum * m - rate * g`, `w += m`.

    With `nesterov=True`, `w += momentum * m - rate * g`.

    Args:
        learning_rate: Inner step size: a float, scalar tensor or Keras schedule.
        momentum: Momentum. Defaults to `0.0`.
        nesterov: Whether to use Nesterov momentum. Defaults to `False`.

    Returns:
        An `InnerOptimizer`.

    Example:

    >>> import tensorflow as tf
    >>> optimizer = sgd(0.1)
    >>> weights = [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([2.0])], optimizer.init(weights),
    ...                               weights)
    >>> [float(u[0]) for u in updates]
    [-0.20000000298023224]
    """

    def init(weights: Weights) -> dict[str, Any]:
        state = {"step": tf.constant(0, tf.int32)}
        return {**state, "momentum": _zeros(weights)} if momentum else state

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        del weights
        steps = [-_rate(learning_rate, state, g) * g for g in gradients]
        state = {**state, "step": state["step"] + 1}
        if not momentum:
            return steps, state
        moved = [
            momentum * m + s for m, s in zip(state["momentum"], steps, strict=True)
        ]
        state["momentum"] = moved
        if nesterov:
            moved = [momentum * m + s for m, s in zip(moved, steps, strict=True)]
        return moved, state

    return InnerOptimizer(init, update)


def rmsprop(
    learning_rate: Rate,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
) -> InnerOptimizer:
    """Creates RMSprop: `w -= rate * g / sqrt(v + epsilon)`.

    `v = rho * v + (1 - rho) * g ** 2`. With `centered=True`, the square of the mean
    gradient is subtracted from `v`. As in Keras, `epsilon` is inside the square root.

    Args:
        learning_rate: Inner step size: a float, scalar tensor or Keras schedule.
        rho: Decay rate of the moving averages. Defaults to `0.9`.
        momentum: Momentum. Defaults to `0.0`.
        epsilon: Constant added to the mean square. Defaults to `1e-7`.
        centered: Whether to divide by the standard deviation of the gradient instead
            of its root mean square. Defaults to `False`.

    Returns:
        An `InnerOptimizer`.

    Example:

    >>> import tensorflow as tf
    >>> optimizer, weights = rmsprop(0.1, rho=0.75), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.2
    """

    def init(weights: Weights) -> dict[str, Any]:
        state = {"step": tf.constant(0, tf.int32), "velocity": _zeros(weights)}
        if momentum:
            state["momentum"] = _zeros(weights)
        if centered:
            state["mean"] = _zeros(weights)
        return state

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        del weights
        new = {"step": state["step"] + 1}
        squares = [tf.square(g) for g in gradients]
        new["velocity"] = _average(state["velocity"], squares, rho)
        denominators = [v + epsilon for v in new["velocity"]]
        if centered:
            new["mean"] = _average(state["mean"], gradients, rho)
            pairs = zip(denominators, new["mean"], strict=True)
            denominators = [d - tf.square(m) for d, m in pairs]
        steps = [
            _rate(learning_rate, state, g) * g * tf.math.rsqrt(d)
            for g, d in zip(gradients, denominators, strict=True)
        ]
        if momentum:
            pairs = zip(state["momentum"], steps, strict=True)
            steps = new["momentum"] = [momentum * m + s for m, s in pairs]
        return [-s for s in steps], new

    return InnerOptimizer(init, update)


def adam(
    learning_rate: Rate,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> InnerOptimizer:
    """Creates Adam: `w -= rate_t * m / sqrt(v + epsilon ** 2)`.

    `rate_t = rate * sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t)`.

    Args:
        learning_rate: Inner step size: a float, scalar tensor or Keras schedule.
        beta_1: Decay rate of the mean gradient m. The Reptile paper uses 0. Defaults
            to `0.9`.
        beta_2: Decay rate of the mean square v. Defaults to `0.999`.
        epsilon: Constant for numerical stability. Defaults to `1e-7`.

    Returns:
        An `InnerOptimizer`.

    Example:

    >>> import tensorflow as tf
    >>> optimizer, weights = adam(0.1), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.1

    Reference:
        Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, section 2.
    """

    def init(weights: Weights) -> dict[str, Any]:
        return {
            "step": tf.constant(0, tf.int32),
            "mean": _zeros(weights),
            "velocity": _zeros(weights),
        }

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        del weights
        mean = _average(state["mean"], gradients, beta_1)
        squares = [tf.square(g) for g in gradients]
        velocity = _average(state["velocity"], squares, beta_2)
        updates = [
            -_adam_rate(learning_rate, state, m, beta_1, beta_2)
            * m
            * tf.math.rsqrt(v + epsilon**2)
            for m, v in zip(mean, velocity, strict=True)
        ]
        step = state["step"] + 1
        return updates, {"step": step, "mean": mean, "velocity": velocity}

    return InnerOptimizer(init, update)


def adamw(
    learning_rate: Rate,
    weight_decay: float = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> InnerOptimizer:
    """Creates AdamW: Adam with decoupled weight decay `w -= rate * weight_decay * w`.

    Args:
        learning_rate: Inner step size: a float, scalar tensor or Keras schedule.
        weight_decay: Weight decay coefficient. Defaults to `0.004`.
        beta_1: Decay rate of the mean gradient. Defaults to `0.9`.
        beta_2: Decay rate of the mean square. Defaults to `0.999`.
        epsilon: Constant for numerical stability. Defaults to `1e-7`.

    Returns:
        An `InnerOptimizer`.

    Example:

    >>> import tensorflow as tf
    >>> optimizer, weights = adamw(0.1, weight_decay=0.5), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.15

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """
    inner = adam(learning_rate, beta_1, beta_2, epsilon)
    return _decayed(inner, learning_rate, weight_decay)


def clipped(
    optimizer: InnerOptimizer,
    *,
    clipnorm: float | None = None,
    clipvalue: float | None = None,
    global_clipnorm: float | None = None,
) -> InnerOptimizer:
    """Creates an optimizer that clips gradients and then applies `optimizer`.

    Args:
        optimizer: `InnerOptimizer` applied to the clipped gradients.
        clipnorm: Maximum norm of the gradient of each weight. Defaults to `None`.
        clipvalue: Maximum absolute value of gradient entries. Defaults to `None`.
        global_clipnorm: Maximum norm of all gradients together. Defaults to `None`.

    Returns:
        An `InnerOptimizer`.

    Example:

    >>> import tensorflow as tf
    >>> optimizer, weights = clipped(sgd(0.1), clipvalue=0.5), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.05
    """

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        if clipnorm is not None:
            gradients = [
                g * _shrink(tf.reduce_sum(tf.square(g)), clipnorm) for g in gradients
            ]
        if global_clipnorm is not None:
            total = tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradients])
            gradients = [g * _shrink(total, global_clipnorm) for g in gradients]
        if clipvalue is not None:
            gradients = [tf.clip_by_value(g, -clipvalue, clipvalue) for g in gradients]
        return optimizer.update(gradients, state, weights)

    return InnerOptimizer(optimizer.init, update)


# Inner optimizer and supported settings, per class of Keras optimizer.
_SETTINGS: dict[type, tuple[Callable[..., InnerOptimizer], tuple[str, ...]]] = {
    keras.optimizers.SGD: (sgd, ("momentum", "nesterov")),
    keras.optimizers.RMSprop: (rmsprop, ("rho", "momentum", "epsilon", "centered")),
    keras.optimizers.Adam: (adam, ("beta_1", "beta_2", "epsilon")),
    keras.optimizers.AdamW: (adam, ("beta_1", "beta_2", "epsilon")),
}
_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
_UNSUPPORTED = ("use_ema", "gradient_accumulation_steps", "loss_scale_factor")


def from_keras(optimizer: keras.optimizers.Optimizer) -> InnerOptimizer:
    """Creates the inner optimizer with the settings of a Keras optimizer.

    Args:
        optimizer: Instance of `SGD`, `RMSprop`, `Adam` or `AdamW`. The learning rate
            may be a float or a schedule. Clipping and weight decay are supported.

    Returns:
        An `InnerOptimizer`.

    Raises:
        ValueError: If the class or a setting of `optimizer` is not supported.

    Example:

    >>> import keras
    >>> inner = from_keras(keras.optimizers.Adam(1e-3, beta_1=0.0))
    """
    if type(optimizer) not in _SETTINGS:
        supported = sorted(kind.__name__ for kind in _SETTINGS)
        raise ValueError(
            "Invalid value for argument `optimizer`. Expected an instance of one of "
            f"{supported} from `keras.optimizers`. Received: optimizer={optimizer!r}"
        )
    config = optimizer.get_config()
    bad = [n for n in (*_UNSUPPORTED, "amsgrad") if config.get(n)]
    if bad:
        settings = ", ".join(f"{name}={config[name]!r}" for name in bad)
        raise ValueError(
            "Invalid value for argument `optimizer`. The inner loop does not support "
            f"the settings {bad}. Received: optimizer="
            f"{type(optimizer).__name__} with {settings}"
        )
    make, names = _SETTINGS[type(optimizer)]
    rate = config["learning_rate"]
    if isinstance(rate, dict):
        rate = keras.optimizers.schedules.deserialize(rate)
    else:
        check_non_negative("optimizer.learning_rate", float(rate))
    inner = make(rate, **{name: config[name] for name in names})
    if config.get("weight_decay"):
        inner = _decayed(inner, rate, config["weight_decay"])
    clipping = {name: config[name] for name in _CLIPPING}
    return clipped(inner, **clipping) if any(clipping.values()) else inner


def _decayed(
    optimizer: InnerOptimizer, learning_rate: Rate, weight_decay: float
) -> InnerOptimizer:
    """Adds decoupled weight decay, computed from the weights before the update."""

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        updates, new = optimizer.update(gradients, state, weights)
        updates = [
            u - _rate(learning_rate, state, w) * weight_decay * w
            for u, w in zip(updates, weights, strict=True)
        ]
        return updates, new

    return InnerOptimizer(optimizer.init, update)


def _zeros(weights: Weights) -> Weights:
    return [tf.zeros_like(w) for w in weights]


def _average(old: Weights, new: Weights, decay: float) -> Weights:
    return [decay * o + (1.0 - decay) * n for o, n in zip(old, new, strict=True)]


def _rate(learning_rate: Rate, state: dict[str, Any], like: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate at the step in `state`, in the dtype of `like`."""
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return tf.cast(learning_rate(state["step"]), like.dtype)
    if tf.is_tensor(learning_rate):
        return tf.cast(learning_rate, like.dtype)
    # `tf.cast` would round the value to float32 first.
    return tf.constant(learning_rate, like.dtype)


def _adam_rate(
    learning_rate: Rate,
    state: dict[str, Any],
    like: tf.Tensor,
    beta_1: float,
    beta_2: float,
) -> tf.Tensor:
    time = tf.cast(state["step"] + 1, like.dtype)
    decay_1 = tf.pow(tf.constant(beta_1, like.dtype), time)
    decay_2 = tf.pow(tf.constant(beta_2, like.dtype), time)
    rate = _rate(learning_rate, state, like)
    return rate * tf.sqrt(1.0 - decay_2) / (1.0 - decay_1)


def _shrink(square: tf.Tensor, limit: float) -> tf.Tensor:
    # The maximum keeps the derivative of the square root finite at zero.
    return limit * tf.math.rsqrt(
        tf.maximum(square, tf.constant(limit**2, square.dtype))
    )
