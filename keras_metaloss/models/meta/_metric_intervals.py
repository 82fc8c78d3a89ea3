"""Confidence intervals of the compiled metrics, reported by `evaluate`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.metrics.confidence_interval import (
    ConfidenceInterval,
    per_task_results,
)

__all__ = ["MetricIntervals"]


class MetricIntervals:
    """One `ConfidenceInterval` per compiled metric, created on first use."""

    def __init__(self) -> None:
        self._by_name: dict[str, ConfidenceInterval] = {}
        self._current: list[str] = []

    @property
    def metrics(self) -> list[ConfidenceInterval]:
        """The intervals of the currently compiled metrics."""
        return [self._by_name[name] for name in self._current]

    def update(
        self, metric: keras.metrics.Metric | None, y_true: Any, y_pred: Any, mask: Any
    ) -> dict[str, tf.Tensor]:
        """Adds a batch of tasks.

        Args:
            metric: The compiled metrics as one metric whose result is a dictionary,
                or `None`.
            y_true: Targets, `[T, Q, ...]`.
            y_pred: Predictions, `[T, Q, ...]`.
            mask: `[T, Q]`, `True` for real queries, or `None`.

        Returns:
            The current intervals, by name (`<metric>_ci95`).
        """
        if metric is None:
            return {}
        results = per_task_results(metric, y_true, y_pred, mask)
        self._current = [f"{name}_ci95" for name in results]
        for name, values in zip(self._current, results.values(), strict=True):
            if name not in self._by_name:
                with _compat.outside_of_the_graph():
                    self._by_name[name] = ConfidenceInterval(name=name)
            self._by_name[name].update_state(values)
        return {interval.name: interval.result() for interval in self.metrics}
