"""Few-shot classification episodes from labeled examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer, check_seed
from keras_metaloss.tasks._batched_tasks import BatchedTasks
from keras_metaloss.tasks._sources import (
    ArraySource,
    CallableSource,
    DatasetSource,
    RotatedSource,
    Source,
)
from keras_metaloss.tasks._structures import pad_to, stack

__all__ = ["EpisodeSampler"]


class EpisodeSampler(BatchedTasks):
    """Draws few-shot classification episodes.

    An episode has a support set and a query set of a few classes. Classes and examples
    are drawn without replacement, the integer labels `0` to `ways - 1` are assigned to
    the classes of an episode at random, and the support set and the query set share no
    examples. Episode `i` depends only on `seed` and `i`, not on the batch size, the
    number of workers or the order of reading.

    Args:
        x: Examples: an array of shape `[N, ...]`, or a dictionary or tuple of such
            arrays for a learner with multiple inputs.
        y: Integer labels of shape `[N]`.
        ways: Number of classes per episode, or an inclusive range `(low, high)` from
            which it is drawn for each episode.
        shots: Number of support examples per class, or an inclusive range `(low, high)`
            from which it is drawn for each episode.
        queries: Number of query examples per class.
        seed: Non-negative integer. Defaults to `0`.
        rotation_classes: Whether to turn each class into four classes: its images
            rotated by 0, 90, 180 and 270 degrees. Requires square images. Defaults to
            `False`.

    Raises:
        ValueError: If an argument is out of range, if there are too few classes or too
            few examples per class, if the labels are not integers, if the images are
            not square with `rotation_classes=True`, or if `x` contains NaN or infinity.

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
        """Creates a sampler that reads examples on demand with a function.

        Args:
            load: Function `(class_index, example_indices) -> examples` that returns an
                array of shape `[len(example_indices), ...]`, or a structure of such
                arrays for a learner with multiple inputs.
            class_sizes: Number of examples of each class.
            ways: Number of classes per episode, or an inclusive range `(low, high)`
                from which it is drawn for each episode.
            shots: Number of support examples per class, or an inclusive range
                `(low, high)` from which it is drawn for each episode.
            queries: Number of query examples per class.
            seed: Non-negative integer. Defaults to `0`.
            rotation_classes: Whether to turn each class into four classes: its images
                rotated by 0, 90, 180 and 270 degrees. Requires square images.
                Defaults to `False`.

        Returns:
            An `EpisodeSampler`.

        Raises:
            ValueError: If an argument is out of range, if `class_sizes` is not a vector
                of integers, if there are too few classes or too few examples per class,
                or if the images are not square with `rotation_classes=True`.
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
        """Creates a sampler from one `tf.data.Dataset` per class.

        Args:
            datasets: One dataset of known length per class. Each element is one
                example. Datasets that support random access (`from_tensor_slices`, then
                `map`) are read at the sampled positions; others are read from the
                start.
            ways: Number of classes per episode, or an inclusive range `(low, high)`
                from which it is drawn for each episode.
            shots: Number of support examples per class, or an inclusive range
                `(low, high)` from which it is drawn for each episode.
            queries: Number of query examples per class.
            seed: Non-negative integer. Defaults to `0`.
            rotation_classes: Whether to turn each class into four classes: its images
                rotated by 0, 90, 180 and 270 degrees. Requires square images.
                Defaults to `False`.

        Returns:
            An `EpisodeSampler`.

        Raises:
            ValueError: If an argument is out of range, if the length of a dataset is
                unknown or infinite, if there are too few classes or too few examples
                per class, or if the images are not square with `rotation_classes=True`.
        """
        sampler = cls.__new__(cls)
        source = DatasetSource(datasets)
        sampler._set_up(source, ways, shots, queries, seed, rotation_classes)
        return sampler

    def _set_up(
        self,
        source: Source,
        ways: int | tuple[int, int],
        shots: int | tuple[int, int],
        queries: int,
        seed: int,
        rotation_classes: bool,
    ) -> None:
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
        """Number of classes to draw from, including rotated classes."""
        return len(self._source.class_sizes)

    def episode(self, index: int) -> tuple[dict[str, Any], np.ndarray]:
        """Returns one episode.

        Args:
            index: Index of the episode, starting from 0.

        Returns:
            `(x, y)`. `x` is a dictionary of `support_x` `[W*S, ...]`, `support_y`
            `[W*S]` and `query_x` `[W*Q, ...]`, with `W` ways, `S` shots and `Q`
            queries, sorted by label. `y` contains the query labels `[W*Q]`. Labels are
            int32. If ways or shots vary, `W` and `S` are their maxima, `x` also
            contains the boolean masks `support_mask` `[W*S]` and `query_mask` `[W*Q]`,
            and masked entries are zero.
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
        """Returns one batch of consecutive episodes, stacked along a new first axis.

        The first episode of the batch has index `index * tasks_per_batch`.

        Args:
            index: Index of the batch, starting from 0.
            tasks_per_batch: Number of tasks per batch.

        Returns:
            `(x, y)`: the same entries as one episode, each with a leading task axis.
        """
        first = index * tasks_per_batch
        return stack([self.episode(first + task) for task in range(tasks_per_batch)])

    def _padded(
        self, x: dict[str, Any], y: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray]:
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


def _range(name: str, value: Any) -> tuple[int, int]:
    is_range = isinstance(value, (tuple, list)) and len(value) == 2
    low, high = value if is_range else (value, value)
    low, high = check_positive_integer(name, low), check_positive_integer(name, high)
    if low > high:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a range (low, high) with "
            f"low <= high. Received: {name}={value!r}"
        )
    return low, high


def _show(bounds: tuple[int, int]) -> int | tuple[int, int]:
    return bounds[0] if bounds[0] == bounds[1] else bounds


def _check_sizes(sizes: np.ndarray, ways: int, shots: int, queries: int) -> None:
    if len(sizes) < ways:
        raise ValueError(
            "Invalid value for argument `ways`. Expected at most the number of "
            f"classes, {len(sizes)}. Received: ways={ways}"
        )
    needed = shots + queries
    small = int((sizes < needed).sum())
    if small:
        raise ValueError(
            "Invalid values for arguments `shots` and `queries`. Expected at least "
            f"shots + queries = {needed} examples in each class. Received: {small} of "
            f"{len(sizes)} classes with fewer, the smallest with {int(sizes.min())}; "
            f"shots={shots}, queries={queries}"
        )


def _rows(examples: Any, rows: slice) -> Any:
    return keras.tree.map_structure(lambda array: array[rows], examples)


def _concatenate(examples: list[Any]) -> Any:
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *examples)
