"""Regression tasks drawn from families of functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import keras_metaloss as kml


@pytest.mark.parametrize(
    ("variant", "curve"),
    [
        ("maml", lambda x, amplitude, phase: amplitude * np.sin(x - phase)),
        (
            "meta_sgd",
            lambda x, amplitude, frequency, phase: (
                amplitude * np.sin(frequency * x + phase)
            ),
        ),
    ],
)
def test_sinusoid_matches_its_parameters(variant, curve):
    tasks = kml.tasks.sinusoid(shots=5, queries=7, variant=variant, seed=2)
    x, y = tasks.batch(3, tasks_per_batch=4)
    parameters = tasks.parameters(3, tasks_per_batch=4)
    assert x["support_x"].shape == (4, 5, 1) and y.shape == (4, 7, 1)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, curve(x["query_x"], **parameters), atol=2e-5)
    np.testing.assert_allclose(
        x["support_y"], curve(x["support_x"], **parameters), atol=2e-5
    )


def test_sinusoid_parameters_follow_the_papers():
    parameters = kml.tasks.sinusoid(1, 1, variant="meta_sgd").parameters(0, 5000)
    for name, low, high in (
        ("amplitude", 0.1, 5.0),
        ("frequency", 0.8, 1.2),
        ("phase", 0.0, np.pi),
    ):
        values = parameters[name].ravel()
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_batch_depends_only_on_seed_and_index():
    tasks = kml.tasks.sinusoid(5, 5, seed=1)
    first = tasks.batch(0, 3)[1]
    assert not np.array_equal(first, tasks.batch(1, 3)[1])
    np.testing.assert_array_equal(
        first, kml.tasks.sinusoid(5, 5, seed=1).batch(0, 3)[1]
    )
    read = next(iter(tasks.dataset(3, batches=2).as_numpy_iterator()))[1]
    np.testing.assert_array_equal(first, read)
    later = next(iter(tasks.dataset(3, first_batch=1).as_numpy_iterator()))[1]
    np.testing.assert_array_equal(tasks.batch(1, 3)[1], later)


def test_noise_and_custom_distributions():
    tasks = kml.tasks.FunctionTasks(
        lambda x, level: 0.0 * x + level,
        {"level": lambda random, size: random.choice([1.0, 2.0], size)},
        (-1.0, 1.0),
        shots=200,
        queries=200,
        noise=0.1,
    )
    x, y = tasks.batch(0, 20)
    levels = tasks.parameters(0, 20)["level"]
    assert set(levels.ravel()) == {1.0, 2.0}
    residuals = np.concatenate([x["support_y"] - levels, y - levels])
    assert residuals.std() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kml.tasks.sinusoid(5, 5, variant="cosine"), "`variant`.*'cosine'"),
        (lambda: kml.tasks.sinusoid(0, 5), "`shots`.*shots=0"),
        (lambda: kml.tasks.sinusoid(5, 5, seed=-1), "`seed`"),
        (
            lambda: kml.tasks.FunctionTasks(None, {"a": (2.0, 1.0)}, (0.0, 1.0), 1, 1),
            "`a`.*low <= high",
        ),
        (lambda: kml.tasks.sinusoid(5, 5).dataset(0), "`tasks_per_batch`"),
        (
            lambda: kml.tasks.FunctionTasks(
                lambda x: x.sum(), {}, (0.0, 1.0), 1, 1
            ).dataset(2),
            r"`function`.*\(2, 2, 1\).*shape \(\)",
        ),
        (
            lambda: kml.tasks.FunctionTasks(
                lambda x: x * np.nan, {}, (0.0, 1.0), 1, 1
            ).dataset(2),
            "`function`.*NaN",
        ),
    ],
)
def test_invalid_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
