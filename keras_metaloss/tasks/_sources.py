"""Sources of the examples of a class: arrays, a function, or `tf.data` datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

__all__ = ["ArraySource", "CallableSource", "DatasetSource", "RotatedSource", "Source"]


class Source(Protocol):
    """Examples grouped by class.

    Attributes:
        class_sizes: Number of examples of each class, `[C]`.
    """

    class_sizes: np.ndarray

    def load(self, class_index: int, example_indices: np.ndarray) -> Any:
        """Returns the examples, `[len(example_indices), ...]`."""


class ArraySource:
    """Examples in arrays, with one integer label per example.

    Args:
        x: Array `[N, ...]`, or a structure of such arrays.
        y: Integer labels `[N]`; examples with equal labels form a class.

    Raises:
        ValueError: If shapes or dtypes do not match, or if values are not finite.
    """

    def __init__(self, x: Any, y: Any) -> None:
        self._x = keras.tree.map_structure(np.asarray, x)
        labels = np.asarray(y)
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                "Invalid value for argument `y`. Expected integer labels of shape [N]. "
                f"Received: y of dtype {labels.dtype} and shape {labels.shape}"
            )
        for array in keras.tree.flatten(self._x):
            _check_array(array, len(labels))
        order = np.argsort(labels, kind="stable")
        _, starts = np.unique(labels[order], return_index=True)
        self._members = np.split(order, starts[1:])
        self.class_sizes = np.array([len(m) for m in self._members])

    def load(self, class_index: int, example_indices: np.ndarray) -> Any:
        rows = self._members[class_index][example_indices]
        return keras.tree.map_structure(lambda array: array[rows], self._x)


class CallableSource:
    """Examples that a function reads on demand.

    Args:
        function: Function `(class_index, example_indices) -> examples`, with examples
            of shape `[len(example_indices), ...]`.
        class_sizes: Number of examples of each class.

    Raises:
        ValueError: If `class_sizes` is not a vector of integers.
    """

    def __init__(
        self, function: Callable[[int, np.ndarray], Any], class_sizes: Sequence[int]
    ) -> None:
        self.class_sizes = np.asarray(class_sizes)
        if self.class_sizes.ndim != 1 or not np.issubdtype(
            self.class_sizes.dtype, np.integer
        ):
            raise ValueError(
                "Invalid value for argument `class_sizes`. Expected one integer per "
                f"class. Received: class_sizes={class_sizes!r}"
            )
        self._function = function

    def load(self, class_index: int, example_indices: np.ndarray) -> Any:
        examples = keras.tree.map_structure(
            np.asarray, self._function(class_index, example_indices)
        )
        for array in keras.tree.flatten(examples):
            _check_array(array, len(example_indices), name="load(...)")
        return examples


class DatasetSource:
    """Examples in one `tf.data.Dataset` per class.

    Uses random access if the dataset supports it; otherwise reads the dataset up to the
    last requested example.

    Args:
        datasets: One dataset per class; each element is one example.

    Raises:
        ValueError: If the length of a dataset is unknown or infinite.
    """

    def __init__(self, datasets: Sequence[tf.data.Dataset]) -> None:
        self._datasets = list(datasets)
        sizes = [int(dataset.cardinality()) for dataset in self._datasets]
        if any(size < 0 for size in sizes):
            raise ValueError(
                "Invalid value for argument `datasets`. Expected datasets of known, "
                "finite length; set it with `assert_cardinality`. Received: "
                f"cardinality {min(sizes)} of dataset {int(np.argmin(sizes))}"
            )
        self.class_sizes = np.array(sizes, dtype=np.int64)

    def load(self, class_index: int, example_indices: np.ndarray) -> Any:
        dataset = self._datasets[class_index]
        try:
            examples = [
                tf.data.experimental.at(dataset, int(i)) for i in example_indices
            ]
        except tf.errors.UnimplementedError:
            examples = self._read(dataset, example_indices)
        loaded = keras.tree.map_structure(
            lambda *tensors: np.stack([t.numpy() for t in tensors]), *examples
        )
        for array in keras.tree.flatten(loaded):
            _check_array(array, len(example_indices), name="datasets")
        return loaded

    @staticmethod
    def _read(dataset: tf.data.Dataset, example_indices: np.ndarray) -> list[Any]:
        wanted = set(example_indices.tolist())
        found = {}
        for index, example in enumerate(dataset.take(max(wanted) + 1)):
            if index in wanted:
                found[index] = example
        return [found[int(i)] for i in example_indices]


class RotatedSource:
    """Four classes per class: its images rotated by 0, 90, 180 and 270 degrees.

    Class `r * C + c` is class `c` rotated `r` times by 90 degrees.

    Args:
        source: Source of images `[height, width, ...]` with equal height and width.

    Raises:
        ValueError: If the images are not square.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.class_sizes = np.tile(source.class_sizes, 4)
        for array in keras.tree.flatten(source.load(0, np.array([0]))):
            if array.ndim < 3 or array.shape[1] != array.shape[2]:
                raise ValueError(
                    "Invalid value for argument `rotation_classes`. Expected square "
                    "images with `rotation_classes=True`. Received: an example of "
                    f"shape {array.shape[1:]}"
                )

    def load(self, class_index: int, example_indices: np.ndarray) -> Any:
        turns, original = divmod(class_index, len(self.class_sizes) // 4)
        examples = self._source.load(original, example_indices)
        return keras.tree.map_structure(
            lambda array: np.rot90(array, turns, axes=(1, 2)), examples
        )


def _check_array(array: np.ndarray, length: int, name: str = "x") -> None:
    if array.ndim == 0 or len(array) != length:
        raise ValueError(
            f"Invalid value for `{name}`. Expected {length} examples along the first "
            f"axis. Received: {name} of shape {array.shape}"
        )
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise ValueError(
            f"Invalid value for `{name}`. Expected finite values. Received: {name} "
            f"with {int((~np.isfinite(array)).sum())} values that are NaN or infinite"
        )
