"""Base class of the classes that draw batches of tasks."""

from __future__ import annotations

import abc
from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer
from keras_metaloss.tasks._pipeline import batches_dataset

__all__ = ["BatchedTasks"]


class BatchedTasks(abc.ABC):
    """Base class that converts indexed batches of tasks to a `tf.data.Dataset`."""

    @abc.abstractmethod
    def batch(self, index: int, tasks_per_batch: int) -> Any:
        """Returns the batch `(x, y)` of an index, with a leading task axis.

        Args:
            index: Index of the batch, starting from 0.
            tasks_per_batch: Number of tasks per batch.
        """

    def dataset(
        self, tasks_per_batch: int, *, batches: int | None = None, first_batch: int = 0
    ) -> tf.data.Dataset:
        """Returns batches as a `tf.data.Dataset` for `fit`, `evaluate` and `predict`.

        Args:
            tasks_per_batch: Number of tasks per batch.
            batches: Number of batches. `None` means an infinite dataset, for which
                `fit` requires `steps_per_epoch`. Defaults to `None`.
            first_batch: Index of the first batch. Set it to resume an interrupted
                training. Defaults to `0`.

        Returns:
            A dataset of `(x, y)` with a leading task axis and static shapes.

        Raises:
            ValueError: If `tasks_per_batch` or `batches` is not a positive integer.
        """
        check_positive_integer("tasks_per_batch", tasks_per_batch)
        if batches is not None:
            check_positive_integer("batches", batches)
        return batches_dataset(
            lambda index: self.batch(index, tasks_per_batch), batches, first_batch
        )
