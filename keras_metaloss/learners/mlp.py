"""Multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_metaloss._utils.checks import (
    check_positive_integer,
    check_positive_integers,
)

__all__ = ["mlp"]


def mlp(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    hidden: Sequence[int] = (40, 40),
    activation: str = "relu",
    name: str = "mlp",
) -> keras.Sequential:
    """Builds a multilayer perceptron with a linear output layer.

    Args:
        input_shape: Shape of one input. Inputs with several axes are flattened.
        outputs: Number of outputs.
        hidden: Number of units of each hidden layer. Defaults to `(40, 40)`, the
            sinusoid network of the MAML paper.
        activation: Activation of the hidden layers. Defaults to `"relu"`.
        name: Name of the model. Defaults to `"mlp"`.

    Returns:
        A built `keras.Sequential` that maps `[N, *input_shape]` to `[N, outputs]`.

    Raises:
        ValueError: If a size is not a positive integer.

    Example:

    >>> mlp((1,), 1).count_params()
    1761

    Reference:
        Finn et al., "Model-Agnostic Meta-Learning", 2017, section 5.1.
    """
    input_shape = check_positive_integers("input_shape", input_shape)
    outputs = check_positive_integer("outputs", outputs)
    hidden = check_positive_integers("hidden", hidden)
    flatten = [keras.layers.Flatten()] if len(input_shape) > 1 else []
    body = [keras.layers.Dense(units, activation) for units in hidden]
    head = keras.layers.Dense(outputs)
    return keras.Sequential(
        [keras.Input(input_shape), *flatten, *body, head], name=name
    )
