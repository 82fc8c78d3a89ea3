"""Inner optimizers with the settings of Keras optimizers."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.adaptation.inner_optimizers._adam import adam
from keras_metaloss.adaptation.inner_optimizers._clipping import clipped
from keras_metaloss.adaptation.inner_optimizers._rmsprop import rmsprop
from keras_metaloss.adaptation.inner_optimizers._sgd import sgd
from keras_metaloss.adaptation.inner_optimizers._weight_decay import with_weight_decay
from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import (
    InnerOptimizer,
)

__all__ = ["from_keras"]


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
        supported = sorted(cls.__name__ for cls in _SETTINGS)
        raise ValueError(
            "Invalid value for argument `optimizer`. Expected an instance of one of "
            f"{supported} from `keras.optimizers`. Received: optimizer={optimizer!r}"
        )
    config = optimizer.get_config()
    unsupported = [n for n in (*_UNSUPPORTED, "amsgrad") if config.get(n)]
    if unsupported:
        settings = ", ".join(f"{name}={config[name]!r}" for name in unsupported)
        raise ValueError(
            "Invalid value for argument `optimizer`. Expected an optimizer without "
            f"the settings {unsupported}, which the inner loop does not support. "
            f"Received: optimizer={type(optimizer).__name__} with {settings}"
        )
    make, names = _SETTINGS[type(optimizer)]
    rate = config["learning_rate"]
    if isinstance(rate, dict):
        rate = keras.optimizers.schedules.deserialize(rate)
    else:
        check_non_negative("optimizer.learning_rate", float(rate))
    inner = make(rate, **{name: config[name] for name in names})
    if config.get("weight_decay"):
        inner = with_weight_decay(inner, rate, config["weight_decay"])
    # In Keras, a limit of zero means no clipping.
    clipping = {name: config[name] for name in _CLIPPING if config[name]}
    return clipped(inner, **clipping) if clipping else inner
