"""Few-shot classification episodes from labelled examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.checks import check_positive_integer, check_seed
from keras_metaloss.tasks.pipeline import batches_dataset
from keras_metaloss.tasks.sources import (
    ArraySource,
    CallableSource,
    DatasetSource,
    RotatedSource,
    Source,
)
from keras_metaloss.tasks.structures import pad_to, stack

__all__ = ["EpisodeSampler"]


class EpisodeSampler:
    """Draws episodes: a few classes, a few examples of each to learn from, others to
    be tested on.

    Classes and examples are drawn without replacement, labels `0 .. ways - 1` are given
    to the classes of an episode at random, and support and queries never share an
    example. Episode `i` depends on `seed` and `i` alone: not on the size of batches, on
    the number of workers or on the order of reading.

    Args:
        x: examples, an array `[N, ...]`, or a dictionary or tuple of such arrays for a
            learner of several inputs.
        y: integer labels `[N]`.
        ways: classes an episode; an inclusive range `(low, high)` draws it for each.
        shots: support examples a class; likewise.
        queries: query examples a class.
        seed: a number not below zero.
        rotation_classes: `True` makes four classes of each, its images turned by 0, 90,
            180 and 270 degrees.

    Raises:
        ValueError: if an argument is out of range, classes are too few or too small for
            the episodes, labels are no integers, or values are not finite.

    Example:

    >>> import numpy as np
    >>> x, y = np.random.rand(60, 28, 28, 1), np.repeat(np.arange(6), 10)
    >>> episodes = EpisodeSampler(x, y, ways=5, shots=1, queries=3, seed=0)
    >>> episode, query_y = episodes.batch(0, tasks_per_batch=2)
    >>> episode["support_x"].shape, query_y.shape
    ((2, 5, 28, 28, 1), (2, 15))

    Reference:
        Vinyals et al., "Matching Networks for One Shot Learning", 2016, section 4.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        ways: int | tuple[int, int],
        shots: int | tuple[int, int],
        queries: int,
        *,
        seed: int = 0,
        rotation_classes: bool = False,
    ) -> None:
        source = ArraySource(x, y)
        self._set_up(source, ways, shots, queries, seed, rotation_classes)

    @classmethod
    def from_callable(
        cls,
        load: Callable[[int, np.ndarray], Any],
        class_sizes: Sequence[int],
        ways: int | tuple[int, int],
        shots: int | tuple[int, int],
        queries: int,
        *,
        seed: int = 0,
        rotation_classes: bool = False,
    ) -> EpisodeSampler:
        """Episodes of examples that `load` reads when they are wanted.

        Args:
            load: `(class_index, example_indices) -> [len(example_indices), ...]`, a
                structure of arrays if there are several inputs.
            class_sizes: number of examples of each class.
            ways: see the class; so are the other arguments.
        """
        sampler = cls.__new__(cls)
        source = CallableSource(load, class_sizes)
        sampler._set_up(source, ways, shots, queries, seed, rotation_classes)
        return sampler

    @classmethod
    def from_datasets(
        cls,
        datasets: Sequence[tf.data.Dataset],
        ways: int | tuple[int, int],
        shots: int | tuple[int, int],
        queries: int,
        *,
        seed: int = 0,
        rotation_classes: bool = False,
    ) -> EpisodeSampler:
        """Episodes of examples from one `tf.data.Dataset` a class.

        Args:
            datasets: one dataset of known length a class, each element one example.
                Pipelines with random access (slices, then `map`) are read at the wanted
                places; others from their start.
            ways: see the class; so are the other arguments.
        """
        sampler = cls.__new__(cls)
        source = DatasetSource(datasets)
        sampler._set_up(source, ways, shots, queries, seed, rotation_classes)
        return sampler

    def _set_up(self, source: Source, ways, shots, queries, seed, rotation_classes):
        self._ways = _range("ways", ways)
        self._shots = _range("shots", shots)
        self._queries = check_positive_integer("queries", queries)
        self._seed = check_seed(seed)
        self._masked = self._ways[0] < self._ways[1] or self._shots[0] < self._shots[1]
        self._source = RotatedSource(source) if rotation_classes else source
        sizes = self._source.class_sizes
        _check_sizes(sizes, self._ways[1], self._shots[1], self._queries)

    @property
    def num_classes(self) -> int:
        """Number of classes to draw from, rotations counted."""
        return len(self._source.class_sizes)

    def episode(self, index: int) -> tuple[dict[str, Any], np.ndarray]:
        """One task.

        Args:
            index: number of the episode, from 0.

        Returns:
            `(x, y)`: `x` has `support_x [W*S, ...]`, `support_y [W*S]` and `query_x
            [W*Q, ...]`, examples of one class after those of another; `y` are the
            query labels `[W*Q]`, int32. Where ways or shots vary, W and S are their
            maxima, `x` has `support_mask` and `query_mask` too, and what is masked out
            is zero.
        """
        random = np.random.Generator(np.random.Philox(key=[self._seed, index]))
        ways, shots = random.integers(
            [self._ways[0], self._shots[0]],
            [self._ways[1], self._shots[1]],
            endpoint=True,
        )
        support, query = [], []
        for class_index in random.choice(self.num_classes, ways, replace=False):
            size = self._source.class_sizes[class_index]
            chosen = random.choice(size, shots + self._queries, replace=False)
            examples = self._source.load(int(class_index), chosen)
            support.append(_rows(examples, slice(None, shots)))
            query.append(_rows(examples, slice(shots, None)))
        x = {
            "support_x": _concatenate(support),
            "support_y": np.repeat(np.arange(ways, dtype=np.int32), shots),
            "query_x": _concatenate(query),
        }
        y = np.repeat(np.arange(ways, dtype=np.int32), self._queries)
        return self._padded(x, y) if self._masked else (x, y)

    def batch(
        self, index: int, tasks_per_batch: int
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Episodes `index * tasks_per_batch` and those after it, stacked."""
        first = index * tasks_per_batch
        return stack([self.episode(first + task) for task in range(tasks_per_batch)])

    def dataset(
        self, tasks_per_batch: int, *, batches: int | None = None, first_batch: int = 0
    ) -> tf.data.Dataset:
        """Batches as a `tf.data.Dataset` for `fit`, `evaluate` and `predict`.

        Args:
            tasks_per_batch: number of tasks T a batch.
            batches: length of the dataset; `None` for no end (give `fit`
                `steps_per_epoch` then).
            first_batch: number of the first batch; set it to go on where an interrupted
                training stopped.

        Returns:
            A dataset of `(x, y)` with a leading task axis and static shapes.
        """
        check_positive_integer("tasks_per_batch", tasks_per_batch)
        if batches is not None:
            check_positive_integer("batches", batches)
        return batches_dataset(
            lambda index: self.batch(index, tasks_per_batch), batches, first_batch
        )

    def _padded(self, x, y):
        support = self._ways[1] * self._shots[1]
        query = self._ways[1] * self._queries
        masks = {
            "support_mask": np.arange(support) < len(x["support_y"]),
            "query_mask": np.arange(query) < len(y),
        }
        padded = {
            "support_x": pad_to(x["support_x"], support),
            "support_y": pad_to(x["support_y"], support),
            "query_x": pad_to(x["query_x"], query),
        }
        return {**padded, **masks}, pad_to(y, query)

    def __repr__(self) -> str:
        return (
            f"EpisodeSampler({self.num_classes} classes, ways={_show(self._ways)}, "
            f"shots={_show(self._shots)}, queries={self._queries}, seed={self._seed})"
        )


def _range(name, value):
    low, high = (
        value
        if isinstance(value, (tuple, list)) and len(value) == 2
        else (
            value,
            value,
        )
    )
    low, high = check_positive_integer(name, low), check_positive_integer(name, high)
    if low > high:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a range (low, high) with "
            f"low <= high. Received: {name}={value!r}"
        )
    return low, high


def _show(bounds):
    return bounds[0] if bounds[0] == bounds[1] else bounds


def _check_sizes(sizes, ways, shots, queries):
    if len(sizes) < ways:
        raise ValueError(
            "Invalid value for argument `ways`. Expected at most the number of "
            f"classes, {len(sizes)}. Received: ways={ways}"
        )
    needed = shots + queries
    small = int((sizes < needed).sum())
    if small:
        raise ValueError(
            f"Expected at least shots + queries = {needed} examples in each class. "
            f"Received: {small} of {len(sizes)} classes with fewer, the smallest with "
            f"{int(sizes.min())}; shots={shots}, queries={queries}"
        )


def _rows(examples, rows):
    return keras.tree.map_structure(lambda array: array[rows], examples)


def _concatenate(examples):
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *examples)
