"""Confidence intervals of means over tasks."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_metaloss.metrics.confidence_interval import (
    ConfidenceInterval,
    per_task_results,
)


def test_interval_equals_numpy_over_uneven_batches():
    values = np.random.default_rng(0).normal(3.0, 0.01, 101)
    interval = ConfidenceInterval()
    for part in np.split(values, [3, 50, 51]):
        interval.update_state(part)
    expected = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert float(interval.result()) == pytest.approx(expected, rel=1e-6)
    interval.reset_state()
    assert float(interval.result()) == 0.0


def test_interval_of_one_task_is_zero():
    interval = ConfidenceInterval()
    interval.update_state([0.7])
    assert float(interval.result()) == 0.0


def test_config_round_trip():
    interval = ConfidenceInterval(name="mine")
    assert ConfidenceInterval.from_config(interval.get_config()).name == "mine"


def test_per_task_results_equal_separate_metrics():
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 2, (4, 30)).astype("float32")
    y_pred = rng.random((4, 30)).astype("float32")
    metric = keras.metrics.AUC()
    metric.update_state(y_true, y_pred)
    state = [v.numpy() for v in metric.variables]
    results = per_task_results(metric, y_true, y_pred)
    for task in range(4):
        alone = keras.metrics.AUC()
        alone.update_state(y_true[task], y_pred[task])
        assert float(results[task]) == pytest.approx(float(alone.result()), abs=1e-6)
    for before, variable in zip(state, metric.variables, strict=True):
        np.testing.assert_array_equal(before, variable.numpy())
