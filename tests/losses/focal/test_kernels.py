"""Values and derivatives of focal losses are exact for any logit."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.losses import TRAINS

Binary = kml.losses.BinaryFocalLoss
Categorical = kml.losses.CategoricalFocalLoss
Sparse = kml.losses.SparseCategoricalFocalLoss
GAMMAS = [0.0, 0.3, 1.0, 2.0, 5.0]
SIZES = [0.0, 1e-4, 0.01, 0.5, 1.0, 3.0, 8.0, 12.0, 16.5, 20.0, 50.0, 88.0, 120.0, 1e3]
LOGITS = sorted({*SIZES, *(-s for s in SIZES)})
EXACT = {"float32": (1e-5, 1e-4, 1e-36), "float64": (1e-10, 1e-10, 1e-290)}


def exact_focal(odds, gamma):
    """Computes value and derivative by the log odds with fifty digits."""
    with mpmath.workdps(50):
        ahead = mpmath.exp(mpmath.mpf(odds))
        p, rest = ahead / (1 + ahead), 1 / (1 + ahead)
        factor = rest ** mpmath.mpf(gamma)
        cross_entropy = mpmath.log1p(1 / ahead)
        return factor * cross_entropy, -factor * (rest + gamma * p * cross_entropy)


def exact_categorical(logits, label, gamma):
    """Computes the value and the derivatives by all logits."""
    with mpmath.workdps(50):
        terms = [mpmath.exp(mpmath.mpf(float(z))) for z in logits]
        others = mpmath.fsum(t for i, t in enumerate(terms) if i != label)
        value, slope = exact_focal(mpmath.log(terms[label] / others), gamma)
        gradient = [-slope * t / others for t in terms]
        gradient[label] = slope
        return float(value), [float(g) for g in gradient]


def value_and_gradient(loss, y_true, y_pred):
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        values = loss.call(tf.constant(y_true), y_pred)
    return values.numpy(), tape.gradient(values, y_pred).numpy()


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_binary_loss_is_exact(gamma, label, dtype):
    logits = np.array(LOGITS, dtype)[:, np.newaxis]
    loss = Binary(gamma, from_logits=True, dtype=dtype)
    values, gradient = value_and_gradient(loss, np.full_like(logits, label), logits)
    sign = 1 if label else -1
    exact = [exact_focal(sign * float(z), gamma) for z in logits[:, 0]]
    value_error, gradient_error, tiny = EXACT[dtype]
    np.testing.assert_allclose(
        values, [float(v) for v, _ in exact], rtol=value_error, atol=tiny
    )
    np.testing.assert_allclose(
        gradient[:, 0],
        [sign * float(g) for _, g in exact],
        rtol=gradient_error,
        atol=tiny,
    )


# Values and gradients of torchvision.ops.sigmoid_focal_loss (0.29.2).
TORCHVISION = {
    (0.25, 2.0): (
        [0.6915701102563155, 0.05068011788812772, 0.04332169878499658],
        [0.19577391862682325, 0.00045089070881009483, 5.619197199393532],
        [-0.28168747015872214, 0.10345274801318578, -0.07457169878499659],
        [0.30468255975152037, -0.0012177350488481945, 0.7549692797967095],
    ),
    (None, 2.0): (
        [2.766280441025262, 0.06757349051750362, 0.17328679513998632],
        [0.261031891502431, 0.0018035628352403793, 7.492262932524709],
        [-1.1267498806348886, 0.1379369973509144, -0.29828679513998635],
        [0.40624341300202726, -0.004870940195392778, 1.0066257063956126],
    ),
    (0.6, 1.5): (
        [1.7005839103787963, 0.04399005185916007, 0.14703872152028208],
        [0.1392570585915794, 0.003134289279347453, 2.9977338291515356],
        [-0.6523489495668244, 0.0761053832170693, -0.21634505831819367],
        [0.18624047667549654, -0.007084539511989126, 0.4019330753450346],
    ),
}


@pytest.mark.parametrize(("alpha", "gamma"), TORCHVISION)
def test_binary_loss_matches_torchvision(alpha, gamma):
    logits = np.array([[-3.0, -0.5, 0.0], [0.25, 2.0, 7.5]])
    targets = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    loss = Binary(gamma, alpha, from_logits=True, dtype="float64")
    values, gradient = value_and_gradient(loss, targets[..., None], logits[..., None])
    expected = np.array(TORCHVISION[alpha, gamma])
    np.testing.assert_allclose(values, expected[:2], rtol=1e-10)
    np.testing.assert_allclose(gradient[..., 0], expected[2:], rtol=1e-10)


def wide_logits(dtype, classes=5):
    """Returns rows with target logits far above, far below or among the others."""
    random = np.random.default_rng(0)
    rows = [random.normal(size=classes) * scale for scale in (0.1, 1, 5, 30, 300)]
    for size in SIZES[3:]:
        for sign in (-1, 1):
            row = random.normal(size=classes)
            row[2] = sign * size
            rows.append(row)
    rows.append(np.full(classes, 1000.0))
    rows.append(np.array([-1000.0, 1000.0, 1000.0, 0.0, -1000.0]))
    return np.clip(np.array(rows), -1000, 1000).astype(dtype)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("kind", ["categorical", "sparse"])
def test_categorical_losses_are_exact(gamma, kind, dtype):
    logits = wide_logits(dtype)
    labels = np.full(len(logits), 2)
    if kind == "sparse":
        loss, targets = Sparse(gamma, from_logits=True, dtype=dtype), labels
    else:
        loss = Categorical(gamma, from_logits=True, dtype=dtype)
        targets = np.eye(5, dtype=dtype)[labels]
    values, gradient = value_and_gradient(loss, targets, logits)
    exact = [exact_categorical(row, 2, gamma) for row in logits]
    value_error, gradient_error, tiny = EXACT[dtype]
    np.testing.assert_allclose(
        values, [v for v, _ in exact], rtol=value_error, atol=tiny
    )
    np.testing.assert_allclose(
        gradient, [g for _, g in exact], rtol=gradient_error, atol=tiny
    )


def test_soft_targets_are_exact_for_any_logit():
    logits = wide_logits("float64")
    targets = np.random.default_rng(1).dirichlet(np.ones(5), size=len(logits))
    loss = Categorical(1.5, from_logits=True, dtype="float64")
    values, gradient = value_and_gradient(loss, targets, logits)
    for row in range(len(logits)):
        exact = [exact_categorical(logits[row], c, 1.5) for c in range(5)]
        expected = sum(t * v for t, (v, _) in zip(targets[row], exact, strict=True))
        slopes = sum(
            t * np.array(g) for t, (_, g) in zip(targets[row], exact, strict=True)
        )
        assert values[row] == pytest.approx(expected, rel=1e-10)
        scale = abs(slopes).max()
        np.testing.assert_allclose(
            gradient[row], slopes, rtol=1e-10, atol=1e-14 * scale
        )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("cls", [Binary, Categorical, Sparse])
def test_loss_is_finite_for_probabilities_0_and_1(cls, gamma):
    y_pred = np.array([[0.0, 1.0], [1.0, 0.0]], "float32")
    targets = np.array([0, 0]) if cls is Sparse else np.array([[1, 0], [1, 0]])
    values, gradient = value_and_gradient(
        cls(gamma), targets.astype("int32" if cls is Sparse else "float32"), y_pred
    )
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()
    assert values[0] > 60
    assert values[1] < 1e-20


@pytest.mark.parametrize("kind", ["binary", "categorical", "sparse"])
@pytest.mark.parametrize("graph", [False, True])
def test_second_derivatives(kind, graph):
    """An outer loop differentiates the loss of the inner loop twice."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(3, 4))
    logits[1] = 0.0  # logits of an untrained head
    logits = tf.constant(logits)
    labels = np.array([0, 3, 1])
    loss, targets = {
        "binary": (Binary(1.5, from_logits=True), np.eye(4)[labels]),
        "categorical": (Categorical(1.5, from_logits=True), np.eye(4)[labels]),
        "sparse": (Sparse(1.5, from_logits=True), labels),
    }[kind]
    direction = tf.constant(random.normal(size=(3, 4)))

    def gradient(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = tf.reduce_sum(loss.call(tf.constant(targets), z))
        return tape.gradient(value, z)

    def product(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            slope = tf.reduce_sum(gradient(z) * direction)
        return tape.gradient(slope, z)

    result = (tf.function(product) if graph else product)(logits)
    numeric = gradient(logits + 1e-6 * direction) - gradient(logits - 1e-6 * direction)
    np.testing.assert_allclose(result, numeric / 2e-6, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("gamma", [2.0, "learned"])
def test_logit_of_minus_infinity(gamma):
    loss = kml.losses.SparseCategoricalFocalLoss(gamma, from_logits=True)
    logits = tf.constant([[1.0, 2.0, -np.inf]])
    with tf.GradientTape() as tape:
        value = loss([0], logits, context=TRAINS)
    p = 1 / (1 + np.e)
    assert float(value) == pytest.approx(-((1 - p) ** 2) * np.log(p), rel=1e-5)
    assert np.isfinite(tape.gradient(value, loss.trainable_variables)).all()
