"""`AdaptiveRobustLoss`: fixed and trained parameters."""

from __future__ import annotations

import keras
import mpmath
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.losses import TRAINS
from tests.helpers.robust import RESIDUALS, exact_robust_loss, exact_robust_slope

Robust = kml.losses.AdaptiveRobustLoss


@pytest.mark.parametrize("alpha", [-np.inf, 0.0, 1.0, 2.0, -1e-6, 2 - 1e-6])
def test_loss_with_a_fixed_alpha_is_exact(alpha):
    x = np.array(RESIDUALS)[:, np.newaxis]
    tensor = tf.constant(x)
    loss = Robust(alpha, scale=2.0, learned=False, dtype="float64", reduction=None)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        values = loss(tf.zeros_like(tensor), tensor)
    slopes = tape.gradient(values, tensor)[:, 0]
    with mpmath.workdps(60):
        reference = [float(exact_robust_loss(r / 2, alpha)) for r in RESIDUALS]
        slope = [float(exact_robust_slope(r / 2, alpha)) / 2 for r in RESIDUALS]
    np.testing.assert_allclose(values, reference, rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(slopes, slope, rtol=1e-10, atol=1e-300)


def fitted(sample, **arguments):
    """Trains the parameters of the loss on residuals, with predictions fixed at 0."""
    loss = Robust(**arguments)
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(loss.trainable_variables)
    y_true, y_pred = tf.constant(sample), tf.zeros(sample.shape)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(y_true, y_pred, context=TRAINS)
        variables = loss.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(value, variables), variables, strict=True)
        )

    for _ in range(400):
        step()
    return loss


def test_parameters_fit_the_residual_distribution():
    random = np.random.default_rng(0)
    sample = np.stack(
        [random.normal(size=4000) * 3.0, random.standard_cauchy(4000) * 0.2], axis=1
    ).astype("float32")
    loss = fitted(sample, alpha=[1.0, 1.0], scale=[1.0, 1.0])
    normal, cauchy = loss.alpha
    assert normal > 1.85
    assert cauchy < 0.1
    assert loss.scale[0] == pytest.approx(3.0, rel=0.1)
    # At alpha = 0 the density is Cauchy with gamma = sqrt(2) c.
    assert loss.scale[1] == pytest.approx(0.2 / np.sqrt(2), rel=0.1)


def slopes(loss, y_true, y_pred, weight=None, jit_compile=False):
    """Returns the value and the derivatives by predictions, raw alpha, raw scale."""

    @tf.function(jit_compile=jit_compile)
    def run(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred, weight, context=TRAINS)
        parameters = [v.value for v in loss.trainable_variables]
        return value, *tape.gradient(value, [y_pred, *parameters])

    return run(tf.constant(y_true, "float32"), tf.constant(y_pred, "float32"))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(200_000, 1), (3000, 50), (20, 60, 60, 3)])
def test_subsample_represents_a_large_batch(shape, jit_compile):
    """Residuals grow along the batch; the subsample must cover all of it."""
    random = np.random.default_rng(0)
    growth = np.linspace(0.2, 5.0, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    y_true = growth * random.standard_t(2.0, size=shape)
    value, *found = slopes(Robust(), y_true, np.zeros(shape), jit_compile=jit_compile)
    arguments = [tf.constant(x, tf.float64) for x in (np.zeros(shape), 1.0, 1.0)]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        whole = tf.reduce_mean(
            kml.losses.robust_negative_log_likelihood(y_true, *arguments)
        )
    by_residual, by_alpha, by_scale = tape.gradient(whole, arguments)
    assert float(value) == pytest.approx(float(whole), rel=1e-5)
    np.testing.assert_allclose(found[0], by_residual, rtol=1e-4, atol=1e-10)
    # alpha = 0.001 + 1.998 sigmoid(0), scale = 1e-5 + exp(...)
    assert float(found[1]) == pytest.approx(float(by_alpha) * 1.998 / 4, rel=0.1)
    assert float(found[2]) == pytest.approx(float(by_scale) * (1 - 1e-5), rel=0.1)
    assert float(found[2]) != pytest.approx(float(by_scale) * (1 - 1e-5), rel=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradient_is_differentiable_by_parameters(jit_compile):
    random = np.random.default_rng(0)
    loss = Robust(dtype="float64", reduction="sum")
    y_true, y_pred = (tf.constant(random.normal(size=(4, 2))) for _ in range(2))

    @tf.function(jit_compile=jit_compile)
    def slope(y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred, context=TRAINS)
        return tf.reduce_sum(tape.gradient(value, y_pred))

    with tf.GradientTape() as tape:
        found = slope(y_pred)
    variables = [v.value for v in loss.trainable_variables]
    for variable, mixed in zip(variables, tape.gradient(found, variables), strict=True):
        start, ends = float(variable), []
        for step in (1e-5, -1e-5):
            variable.assign(start + step)
            ends.append(float(slope(y_pred)))
        variable.assign(start)
        assert float(mixed) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_predictions_with_zero_columns():
    loss = Robust(reduction=None)
    with tf.GradientTape() as tape:
        value = loss(tf.zeros((3, 0)), tf.zeros((3, 0)), context=TRAINS)
    tape.gradient(value, [v.value for v in loss.trainable_variables])
    assert value.shape == (3,)


def test_parameter_gradients_use_sample_weights():
    random = np.random.default_rng(0)
    y_true, weight = random.standard_cauchy((200_000, 1)), np.zeros(200_000)
    counted = random.choice(200_000, 1000, replace=False)
    weight[counted] = random.uniform(1.0, 2.0, 1000)
    loss = Robust(reduction="sum", dtype="float64")
    found = slopes(loss, y_true, np.zeros((200_000, 1)), weight)
    alone = slopes(loss, y_true[counted], np.zeros((1000, 1)), weight[counted])
    for part, whole in zip(found[2:], alone[2:], strict=True):
        assert float(part) == pytest.approx(float(whole), rel=0.02)


@pytest.mark.parametrize("shapes", [((), (4, 3)), ((1, 3), (4, 3)), ((5,), (5,))])
def test_targets_broadcast_to_predictions(shapes):
    random = np.random.default_rng(0)
    y_true, y_pred = (random.normal(size=s) for s in shapes)
    expected = slopes(Robust(), np.broadcast_to(y_true, shapes[1]), y_pred)
    for own, other in zip(slopes(Robust(), y_true, y_pred), expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-6)


def test_perfect_fit_keeps_a_positive_scale():
    loss = fitted(np.zeros((10, 1), "float32"), scale=1e-4)
    assert 0 < loss.scale < 1e-4
    assert np.isfinite(float(loss(np.zeros((10, 1)), np.zeros((10, 1)))))


@pytest.mark.parametrize("learned", [False, True])
def test_targets_without_the_prediction_axis(learned):
    loss = Robust(learned=learned, reduction=None)
    y_true, y_pred = np.arange(5.0), np.zeros((5, 1))
    assert loss(y_true, y_pred).shape == (5,)
    np.testing.assert_allclose(loss(y_true, y_pred), loss(y_true[:, None], y_pred))
    with pytest.raises(ValueError, match="y_true.shape=\\(5,\\)"):
        loss(y_true, np.zeros((5, 2)))


def test_parameters_are_trained_and_saved(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 2)).astype("float32")
    y = x.sum(axis=1, keepdims=True) + random.standard_cauchy((64, 1))
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model = kml.AdaptiveLossModel(network)
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=Robust())
    model.fit(x, y, epochs=3, verbose=0)
    assert model.loss.alpha != pytest.approx(1.0, abs=0.01)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.loss.alpha, loaded.loss.scale) == (
        model.loss.alpha,
        model.loss.scale,
    )
    assert loaded.train_on_batch(x, y) == model.train_on_batch(x, y)
    assert (loaded.loss.alpha, loaded.loss.scale) == (
        model.loss.alpha,
        model.loss.scale,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 2.0}, "`alpha`.*between 0.001 and 1.999.*alpha=2.0"),
        ({"alpha": "auto"}, "`alpha`.*'auto'"),
        ({"alpha": np.nan, "learned": False}, "`alpha`.*nan"),
        ({"alpha": True}, "`alpha`.*True"),
        ({"scale": 0.0}, "`scale`.*greater than.*0.0"),
        ({"scale": [[1.0]]}, "`scale`"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        Robust(**arguments)


@pytest.mark.parametrize("learned", [False, True])
def test_parameters_must_match_the_columns(learned):
    loss = Robust([0.5, 1.0, 1.5], learned=learned)
    assert loss([[0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]]).shape == ()
    with pytest.raises(ValueError, match="`alpha`.*1 columns"):
        loss([[0.0]], [[1.0]])
    with pytest.raises(ValueError, match="`scale`.*2 columns"):
        Robust(scale=[1.0, 2.0, 3.0], learned=learned)([[0.0, 0.0]], [[1.0, 1.0]])
