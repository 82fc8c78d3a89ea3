"""Regression tasks drawn from a parametric family of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_metaloss._utils.checks import (
    check_choice,
    check_non_negative,
    check_positive_integer,
    check_seed,
)
from keras_metaloss.tasks._batched_tasks import BatchedTasks

__all__ = ["FunctionTasks", "sinusoid"]

Sampler = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Distribution = tuple[float, float] | Sampler


class FunctionTasks(BatchedTasks):
    """Draws regression tasks `y = function(x, **parameters) + noise`.

    The parameters and inputs of each task are drawn at random. Batch `i` depends only
    on `seed`, `i` and the number of tasks per batch.

    Args:
        function: Function `(x, **parameters) -> y`, with `x` and `y` of shape
            `[T, N, 1]` and each parameter of shape `[T, 1, 1]`, for `T` tasks.
        parameters: Dictionary from the name of each parameter to its distribution:
            `(low, high)` for a uniform distribution, or a function
            `(generator, size) -> array`, where `generator` is a
            `numpy.random.Generator`.
        inputs: Distribution of the inputs: `(low, high)` for a uniform distribution, or
            a function `(generator, size) -> array`.
        shots: Number of support examples per task.
        queries: Number of query examples per task.
        noise: Standard deviation of the Gaussian noise that is added to all targets.
            Defaults to `0.0`.
        seed: Non-negative integer. Defaults to `0`.

    Raises:
        ValueError: If an argument is out of range, or, when a batch is drawn, if
            `function` returns NaN, infinity or a shape other than that of `x`.

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
        """Returns the parameters of the tasks in one batch.

        Args:
            index: Index of the batch, starting from 0.
            tasks_per_batch: Number of tasks `T` per batch.

        Returns:
            Dictionary from the name of each parameter to an array `[T, 1, 1]`.
        """
        return self._draw_parameters(self._random(index), tasks_per_batch)

    def batch(
        self, index: int, tasks_per_batch: int
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Returns one batch of tasks.

        Args:
            index: Index of the batch, starting from 0.
            tasks_per_batch: Number of tasks `T` per batch.

        Returns:
            `(x, y)`. `x` is a dictionary of `support_x` and `support_y`, both
            `[T, shots, 1]`, and `query_x` `[T, queries, 1]`. `y` contains the query
            targets `[T, queries, 1]`. All arrays are float32.
        """
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

    def _random(self, index: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=[self._seed, index]))

    def _values(
        self, x: np.ndarray, parameters: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        y = np.asarray(self._function(x, **parameters))
        if y.shape != x.shape or not np.isfinite(y).all():
            problem = "NaN or infinity" if y.shape == x.shape else f"shape {y.shape}"
            raise ValueError(
                "Invalid value for argument `function`. Expected a function that "
                f"returns finite values of the shape of x, {x.shape}. Received: "
                f"{problem}"
            )
        return y

    def _draw_parameters(
        self, random: np.random.Generator, tasks: int
    ) -> dict[str, np.ndarray]:
        return {
            name: sample(random, (tasks, 1, 1))
            for name, sample in self._parameters.items()
        }


def sinusoid(
    shots: int, queries: int, *, variant: str = "maml", seed: int = 0
) -> FunctionTasks:
    """Returns sine waves, the standard toy problem of few-shot regression.

    - `"maml"`: `y = A sin(x - b)` with amplitude `A` in [0.1, 5] and phase `b` in
      [0, pi].
    - `"meta_sgd"`: `y = A sin(w x + b)` with `A` and `b` as above and frequency `w` in
      [0.8, 1.2].

    Parameters are uniform in these ranges. Inputs are uniform in [-5, 5].

    Args:
        shots: Number of support examples per task.
        queries: Number of query examples per task.
        variant: `"maml"` or `"meta_sgd"`. Defaults to `"maml"`.
        seed: Non-negative integer. Defaults to `0`.

    Returns:
        A `FunctionTasks`.

    Raises:
        ValueError: If `shots` or `queries` is not a positive integer, if `variant` is
            unknown, or if `seed` is not a non-negative integer.

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


def _shifted_sine(
    x: np.ndarray, amplitude: np.ndarray, phase: np.ndarray
) -> np.ndarray:
    return amplitude * np.sin(x - phase)


def _general_sine(
    x: np.ndarray, amplitude: np.ndarray, frequency: np.ndarray, phase: np.ndarray
) -> np.ndarray:
    return amplitude * np.sin(frequency * x + phase)


def _sampler(name: str, given: Distribution) -> Sampler:
    if callable(given):
        return given
    low, high = given
    if not low <= high:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a range (low, high) with "
            f"low <= high. Received: {name}={given!r}"
        )
    return lambda random, size: random.uniform(low, high, size)
