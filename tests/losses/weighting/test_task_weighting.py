"""Common behavior of all task weightings."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import (
    NAMES,
    RANDOM,
    WEIGHTINGS,
    attached,
    random_gradients,
    shared_and_specific_weights,
)

W = kml.losses.weighting


def test_gradient_products_over_several_parameters():
    rng = np.random.default_rng(0)
    gradients = [[rng.normal(size=(2, 3)), rng.normal(size=4)] for _ in range(3)]
    flat = np.stack([np.concatenate([g.ravel() for g in row]) for row in gradients])
    tensors = [[tf.constant(g) for g in row] for row in gradients]
    np.testing.assert_allclose(
        W.gradient_products(tensors), flat @ flat.T, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_config_round_trip(method):
    weighting = WEIGHTINGS[method](NAMES[:3])
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(weighting)
    )
    assert type(restored) is type(weighting)
    assert restored.get_config() == weighting.get_config()
    attached(weighting), attached(restored)
    found = shared_and_specific_weights(
        weighting, [1.0, 2.0, 0.5], random_gradients(conflict=True)
    )
    again = shared_and_specific_weights(
        restored, [1.0, 2.0, 0.5], random_gradients(conflict=True)
    )
    np.testing.assert_array_equal(found.shared, again.shared)


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_eager_graph_and_xla_agree(method):
    gradients = random_gradients(conflict=True)
    results = []
    for compiled in (None, False, True):
        weighting = attached(WEIGHTINGS[method](NAMES[:3]))

        def two_steps(losses, products, weighting=weighting):
            weighting.update(losses, products)
            return weighting.compute_weights(2 * losses, products)

        if compiled is not None:
            two_steps = tf.function(two_steps, jit_compile=compiled)
        results.append(
            two_steps(
                tf.constant([1.0, 2.0, 0.5]),
                tf.constant(gradients @ gradients.T, "float32"),
            )
        )
    for other in results[1:]:
        np.testing.assert_allclose(results[0].shared, other.shared, rtol=1e-4)
        np.testing.assert_allclose(results[0].specific, other.specific, rtol=1e-4)


# The random methods depend on the order of tasks by construction.
@pytest.mark.parametrize("method", sorted(set(WEIGHTINGS) - RANDOM))
def test_weights_do_not_depend_on_task_order(method):
    gradients, order = random_gradients(conflict=True), np.array([2, 0, 1])
    losses = np.array([1.0, 2.0, 0.5])
    results = []
    for permutation in (np.arange(3), order):
        weighting = WEIGHTINGS[method](NAMES[:3])
        weighting.build_for([NAMES[i] for i in permutation])
        g = gradients[permutation]
        for scale in (1.0, 0.8, 0.9):
            weighting.update(
                tf.constant(scale * losses[permutation], "float32"),
                tf.constant(g @ g.T, "float32"),
            )
            weighting.end_epoch()
        results.append(
            shared_and_specific_weights(
                weighting, losses[permutation], g
            ).shared.numpy()
        )
    np.testing.assert_allclose(results[0][order], results[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_task_without_labels_does_not_affect_other_tasks(method):
    gradients, losses = random_gradients(), np.array([1.0, 0.0, 0.5])
    gradients[1] = 0.0
    weighting = attached(WEIGHTINGS[method](NAMES[:3]))
    weighting.update(
        tf.constant(losses, "float32"), tf.constant(gradients @ gradients.T, "float32")
    )
    found = shared_and_specific_weights(weighting, losses, gradients)
    shared, specific = found.shared.numpy(), found.specific.numpy()
    assert np.isfinite(shared).all() and np.isfinite(specific).all()
    assert (np.abs(shared[[0, 2]]) > 1e-3).all(), shared
    for gradient in weighting.parameter_gradients(tf.constant(losses, "float32")):
        assert gradient[1] == 0.0 and np.isfinite(gradient).all()


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_zero_or_parallel_gradients_give_finite_weights(method):
    for gradients in (
        np.zeros((3, 4)),
        np.ones((3, 4)),
        np.diag([1, 2, -3]) @ np.ones((3, 4)),
    ):
        found = shared_and_specific_weights(
            attached(WEIGHTINGS[method](NAMES[:3])), np.ones(3), gradients
        )
        assert np.isfinite(found.shared).all() and np.isfinite(found.specific).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: W.FixedWeighting({"a": -1.0}), "`weights`.*weights=-1.0"),
        (lambda: W.FixedWeighting({"a": True}), "`weights`.*True"),
        (lambda: W.FixedWeighting([1.0, 2.0]), "`weights`.*dictionary"),
        (lambda: W.UncertaintyWeighting("a"), "`classification`.*'a'"),
        (lambda: W.DynamicWeightAverage(0.0), "`temperature`.*temperature=0.0"),
        (lambda: W.GradNorm(alpha=-1), "`alpha`.*alpha=-1"),
        (lambda: W.GradNorm(learning_rate="x"), "`learning_rate`.*'x'"),
        (lambda: W.GradNorm(floor=0.0), "`floor`.*floor=0.0"),
        (lambda: W.GradNorm(floor=float("nan")), "`floor`.*nan"),
        (lambda: W.GradNorm(floor="x"), "`floor`.*'x'"),
        (
            lambda: W.UncertaintyWeighting(initial_variances={"a": -1.0}),
            "`initial_variances`.*-1.0",
        ),
        (
            lambda: W.UncertaintyWeighting(initial_variances={"a": "1"}),
            "`initial_variances`.*'1'",
        ),
        (
            lambda: W.UncertaintyWeighting(initial_variances=[1.0]),
            "`initial_variances`.*dictionary",
        ),
        (
            lambda: attached(W.UncertaintyWeighting(initial_variances={"z": 1.0})),
            "`initial_variances`.*'z'",
        ),
        (lambda: W.DynamicWeightAverage(float("nan")), "`temperature`.*nan"),
        (lambda: W.GradNorm(alpha=True), "`alpha`.*True"),
        (lambda: W.CAGrad(float("inf")), "`c`.*inf"),
        (lambda: W.MGDA([]), "`normalization`"),
        (lambda: W.IMTL([1]), "`balance`"),
        (lambda: W.PCGrad(seed=1.5), "`seed`.*1.5"),
        (lambda: W.PCGrad(seed=2**63), "`seed`"),
        (lambda: W.RandomLossWeighting(seed=2**70), "`seed`"),
        (lambda: W.IMTL("losses"), "`balance`.*'losses'"),
        (lambda: W.MGDA("l1"), "`normalization`.*'l1'"),
        (lambda: W.CAGrad(-0.5), "`c`.*c=-0.5"),
        (lambda: W.PCGrad(seed=-1), "`seed`.*seed=-1"),
        (lambda: W.RandomLossWeighting(seed=True), "`seed`.*True"),
        (
            lambda: attached(W.FixedWeighting({"a": 1.0})),
            "`weights`.*each of the tasks",
        ),
        (lambda: attached(W.UncertaintyWeighting(["z"])), "`classification`.*'z'"),
        (lambda: W.PCGrad().build_for(["a"]), "`tasks`.*at least two"),
        (lambda: W.PCGrad().build_for(["a", "a"]), "`tasks`.*different"),
        (
            lambda: attached(W.PCGrad(), 3).build_for(["x", "y"]),
            "PCGrad.*already attached.*Create a new object",
        ),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
