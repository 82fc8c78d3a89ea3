"""Validation of the arguments of a `MutualInformationLoss`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_names
from keras_metaloss.information.predicted._methods import METHODS, check_options
from keras_metaloss.information.predicted._options import Options
from keras_metaloss.losses._core.meta_loss import OutputKind
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses._core.traits import OUTPUT_KINDS
from keras_metaloss.losses.joint._output_distribution import output_kind_of

__all__ = [
    "Pair",
    "checked_estimate",
    "checked_pairs",
    "losses_by_task",
    "options_of",
    "output_kinds_by_task",
]

Pair = tuple[str, str]


def losses_by_task(loss_a: Any, loss_b: Any) -> dict[str, keras.losses.Loss]:
    """Validates the losses and returns them by task name."""
    if isinstance(loss_a, dict):
        if loss_b is not None or len(loss_a) < 2:
            raise ValueError(
                "Invalid value for argument `loss_a`. Expected a dictionary of at "
                "least two losses without `loss_b`, or two losses. Received: "
                f"loss_a={loss_a!r}, loss_b={loss_b!r}"
            )
        check_names("loss_a", loss_a)
        return {name: standardize_loss(name, loss) for name, loss in loss_a.items()}
    return {
        "a": standardize_loss("loss_a", loss_a),
        "b": standardize_loss("loss_b", loss_b),
    }


def output_kinds_by_task(
    losses: dict[str, keras.losses.Loss], output_kinds: dict[str, OutputKind] | None
) -> dict[str, OutputKind]:
    """Returns the kind of output of each task; infers missing ones from the losses."""
    output_kinds = dict(output_kinds or {})
    for name, kind in output_kinds.items():
        if name not in losses or not (kind in OUTPUT_KINDS or callable(kind)):
            raise ValueError(
                "Invalid value for argument `output_kinds`. Expected a dictionary from "
                f"task names, of {tuple(losses)}, to one of {OUTPUT_KINDS} or a "
                f"function. Received: output_kinds={output_kinds!r}"
            )
    return {
        name: output_kinds[name] if name in output_kinds else output_kind_of(name, loss)
        for name, loss in losses.items()
    }


def checked_pairs(
    losses: dict[str, keras.losses.Loss], pairs: Sequence[Pair] | None
) -> tuple[Pair, ...]:
    """Validates the pairs of tasks; `None` returns all pairs."""
    names = list(losses)
    if pairs is None:
        return tuple((a, b) for i, a in enumerate(names) for b in names[i + 1 :])
    given: Any = tuple(tuple(pair) for pair in pairs)
    for pair in given:
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(names):
            raise ValueError(
                "Invalid value for argument `pairs`. Expected pairs of different task "
                f"names, of {tuple(names)}. Received: pairs={given!r}"
            )
    return given


def options_of(estimator: Any) -> Options | None:
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
    return check_options(Options(**estimator))


def checked_estimate(value: Any) -> tf.Tensor:
    """Returns the result of a function `estimator`; raises unless it is a scalar."""
    value = tf.convert_to_tensor(value)
    if value.shape.rank not in (0, None):
        raise ValueError(
            "Invalid value for argument `estimator`. Expected a function that returns "
            f"a scalar. Received: a result of shape {tuple(value.shape)}"
        )
    return value
