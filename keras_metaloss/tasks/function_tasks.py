"""Regression tasks drawn from a family of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_metaloss.checks import (
    check_choice,
    check_non_negative,
    check_positive_integer,
    check_seed,
)
from keras_metaloss.tasks.pipeline import batches_dataset

__all__ = ["FunctionTasks", "sinusoid"]

Distribution = tuple[float, float] | Callable[[np.random.Generator, tuple], np.ndarray]


class FunctionTasks:
    """Draws regression tasks `y = function(x, **parameters) + noise`.

    The parameters of a task and its inputs are drawn at random. Batch `i` depends on
    `seed`, `i` and the number of tasks a batch alone.

    Args:
        function: `(x, **parameters) -> y` with x `[T, N, 1]` and each parameter
            `[T, 1, 1]`.
        parameters: distribution of each parameter by name: `(low, high)` for a uniform
            one, or `(generator, size) -> array`.
        inputs: distribution of the inputs, likewise.
        shots: support examples a task.
        queries: query examples a task.
        noise: standard deviation of Gaussian noise added to all targets.
        seed: a number not below zero.

    Raises:
        ValueError: if an argument is out of range; when batches are drawn, if
            `function` gives another shape than that of x, NaN or infinity.

    Example:

    >>> lines = FunctionTasks(
    ...     lambda x, slope: slope * x, {"slope": (1.0, 2.0)}, (-1.0, 1.0),
    ...     shots=5, queries=10)
    >>> x, y = lines.batch(0, tasks_per_batch=3)
    >>> x["support_x"].shape, y.shape
    ((3, 5, 1), (3, 10, 1))
    """

    def __init__(
        self,
        function: Callable[..., np.ndarray],
        parameters: Mapping[str, Distribution],
        inputs: Distribution,
        shots: int,
        queries: int,
        *,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._function = function
        self._parameters = {
            name: _sampler(name, given) for name, given in parameters.items()
        }
        self._inputs = _sampler("inputs", inputs)
        self._shots = check_positive_integer("shots", shots)
        self._queries = check_positive_integer("queries", queries)
        self._noise = check_non_negative("noise", noise)
        self._seed = check_seed(seed)

    def parameters(self, index: int, tasks_per_batch: int) -> dict[str, np.ndarray]:
        """The parameters of batch `index`, each `[T, 1, 1]`."""
        return self._draw_parameters(self._random(index), tasks_per_batch)

    def batch(
        self, index: int, tasks_per_batch: int
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Batch `index`: `support_x`, `support_y` `[T, S, 1]`, `query_x [T, Q, 1]`, and
        the query targets `[T, Q, 1]`, float32."""
        random = self._random(index)
        parameters = self._draw_parameters(random, tasks_per_batch)
        size = (tasks_per_batch, self._shots + self._queries, 1)
        x = self._inputs(random, size)
        y = self._values(x, parameters)
        if self._noise:
            y = y + random.normal(scale=self._noise, size=size)
        x, y = x.astype(np.float32), y.astype(np.float32)
        shots = self._shots
        episode = {
            "support_x": x[:, :shots],
            "support_y": y[:, :shots],
            "query_x": x[:, shots:],
        }
        return episode, y[:, shots:]

    def dataset(
        self, tasks_per_batch: int, *, batches: int | None = None, first_batch: int = 0
    ) -> tf.data.Dataset:
        """Batches as a `tf.data.Dataset`; see `EpisodeSampler.dataset`."""
        check_positive_integer("tasks_per_batch", tasks_per_batch)
        if batches is not None:
            check_positive_integer("batches", batches)
        return batches_dataset(
            lambda index: self.batch(index, tasks_per_batch), batches, first_batch
        )

    def _random(self, index):
        return np.random.Generator(np.random.Philox(key=[self._seed, index]))

    def _values(self, x, parameters):
        y = np.asarray(self._function(x, **parameters))
        if y.shape != x.shape or not np.isfinite(y).all():
            problem = "NaN or infinity" if y.shape == x.shape else f"shape {y.shape}"
            raise ValueError(
                "Invalid value for argument `function`. Expected one that gives finite "
                f"numbers of the shape of x, {x.shape}. Received: {problem}"
            )
        return y

    def _draw_parameters(self, random, tasks):
        return {
            name: sample(random, (tasks, 1, 1))
            for name, sample in self._parameters.items()
        }


def sinusoid(
    shots: int, queries: int, *, variant: str = "maml", seed: int = 0
) -> FunctionTasks:
    """Sine waves, the toy family of few-shot regression.

    `"maml"`: `y = A sin(x - b)`, amplitude A in [0.1, 5], phase b in [0, pi].
    `"meta_sgd"`: `y = A sin(w x + b)`, frequency w in [0.8, 1.2] too.
    Inputs are uniform in [-5, 5].

    Args:
        shots: support examples a task.
        queries: query examples a task.
        variant: `"maml"` or `"meta_sgd"`.
        seed: a number not below zero.

    Raises:
        ValueError: if `variant` is unknown.

    Example:

    >>> sinusoid(shots=5, queries=10).batch(0, tasks_per_batch=2)[1].shape
    (2, 10, 1)

    Reference:
        Finn et al., "Model-Agnostic Meta-Learning", 2017, section 5.1; Li et al.,
        "Meta-SGD", 2017, section 4.1.
    """
    waves: dict[str, tuple[Callable[..., Any], dict[str, Distribution]]] = {
        "maml": (_shifted_sine, {"amplitude": (0.1, 5.0), "phase": (0.0, np.pi)}),
        "meta_sgd": (
            _general_sine,
            {"amplitude": (0.1, 5.0), "frequency": (0.8, 1.2), "phase": (0.0, np.pi)},
        ),
    }
    function, parameters = waves[check_choice("variant", variant, waves)]
    return FunctionTasks(function, parameters, (-5.0, 5.0), shots, queries, seed=seed)


def _shifted_sine(x, amplitude, phase):
    return amplitude * np.sin(x - phase)


def _general_sine(x, amplitude, frequency, phase):
    return amplitude * np.sin(frequency * x + phase)


def _sampler(name, given):
    if callable(given):
        return given
    low, high = given
    if not low <= high:
        raise ValueError(
            f"Invalid range for `{name}`. Expected (low, high) with low <= high. "
            f"Received: {name}={given!r}"
        )
    return lambda random, size: random.uniform(low, high, size)
