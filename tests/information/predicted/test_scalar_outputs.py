"""Families of densities compared to integrals by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats

import keras_metaloss as kml
from tests.helpers.information import integrated, predicted_pair, predictions

tfd = tfp.distributions


mutual_information = kml.information.mutual_information


def kumaraswamy(x, a, b):
    a, b = a.astype("float64"), b.astype("float64")
    return a * b * x ** (a - 1) * (1 - x**a) ** (b - 1)


FAMILIES = {
    "laplace": lambda m, s: (tfd.Laplace(m, s), lambda b: stats.laplace.pdf(b, m, s)),
    "student": lambda m, s: (
        tfd.StudentT(np.float32(3), m, s),
        lambda b: stats.t.pdf(b, 3, m, s),
    ),
    "logistic": lambda m, s: (
        tfd.Logistic(m, s),
        lambda b: stats.logistic.pdf(b, m, s),
    ),
    "log-normal": lambda m, s: (
        tfd.LogNormal(m, s),
        lambda b: stats.lognorm.pdf(b, s, scale=np.exp(m)),
    ),
    "gamma": lambda m, s: (
        tfd.Gamma(1 + tf.abs(m), s),
        lambda b: stats.gamma.pdf(b, 1 + np.abs(m), scale=1 / s),
    ),
    "beta": lambda m, s: (
        tfd.Beta(1 + tf.abs(m), 1 + s),
        lambda b: stats.beta.pdf(b, 1 + np.abs(m), 1 + s),
    ),
    "gumbel": lambda m, s: (
        tfd.Gumbel(m, s),
        lambda b: stats.gumbel_r.pdf(b, m, s),
    ),
    "kumaraswamy": lambda m, s: (
        tfd.Kumaraswamy(2 + tf.abs(m), 2 + s),
        lambda b: kumaraswamy(b, 2 + np.abs(m), 2 + s),
    ),
    "logit-normal": lambda m, s: (
        tfd.LogitNormal(m, s),
        lambda b: stats.norm.pdf(special.logit(b), m, s) / (b * (1 - b)),
    ),
    "tanh": lambda m, s: (
        tfd.TransformedDistribution(tfd.Normal(m, s), tfp.bijectors.Tanh()),
        lambda b: stats.norm.pdf(np.arctanh(b), m, s) / (1 - b**2),
    ),
    "generalized-pareto": lambda m, s: (
        tfd.GeneralizedPareto(m, s, np.float32(0.1)),
        lambda b: stats.genpareto.pdf(b, 0.1, m, s),
    ),
    "uniform": lambda m, s: (
        tfd.Uniform(m - s, m + s),
        lambda b: stats.uniform.pdf(b, m - s, 2 * s),
    ),
    "mixture": lambda m, s: (
        tfd.MixtureSameFamily(
            tfd.Categorical(probs=np.full((len(m), 2), 0.5, "float32")),
            tfd.Normal(tf.stack([m, -m], 1), tf.stack([s, s], 1)),
        ),
        lambda b: (stats.norm.pdf(b, m, s) + stats.norm.pdf(b, -m, s)) / 2,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_density_families_match_scipy_integral(family):
    probs, loc, scale = predictions("typical", rows=6)
    loc, scale = loc.astype("float32"), scale.astype("float32")
    b, density = FAMILIES[family](loc, scale)
    ends = {"log-normal": 1e4, "gamma": 200.0}
    ends |= dict.fromkeys(("beta", "kumaraswamy", "logit-normal"), 1.0)
    end = {"gumbel": 100.0, **ends}.get(family, 1e3)
    steps = [loc, loc - scale, loc + scale, np.linspace(-20, 20, 41)]
    knots = np.concatenate([*steps, [-100, 100, -end, end]])
    if family in ends:
        knots = np.concatenate([[0, end], np.geomspace(1e-6, end, 60)])
        if end == 1.0:
            knots = np.unique([*knots[knots < 0.5], *(1 - knots[knots < 0.5])])
    if family == "tanh":
        knots = np.tanh(np.linspace(-8, 8, 81))
    truth = integrated(probs, density, knots)
    a = tfd.Categorical(probs=tf.constant(probs, tf.float32))
    assert float(mutual_information(a, b)) == pytest.approx(truth, abs=2e-4)
    with tf.GradientTape() as tape:
        x = tf.constant(loc)
        tape.watch(x)
        value = mutual_information(a, FAMILIES[family](x, scale)[0])
    gradient = tape.gradient(value, x)
    if family != "uniform":  # Its density is constant within the support.
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("family", ["laplace", "gamma", "uniform", "mixture", "tanh"])
def test_density_families_in_graph_and_xla(family):
    """Covers a batch size that is unknown at trace time, and XLA."""
    probs, loc, scale = predictions("typical", rows=6)
    inputs = [tf.constant(x, tf.float32) for x in (probs, loc, scale)]

    def estimate(probs, loc, scale):
        if family == "mixture" and loc.shape[0] is None:
            loc, scale = tf.ensure_shape(loc, [6]), tf.ensure_shape(scale, [6])
        with tf.GradientTape() as tape:
            tape.watch(loc)
            a = tfd.Categorical(probs=probs)
            value = mutual_information(a, FAMILIES[family](loc, scale)[0])
        return value, tape.gradient(value, loc)

    value, gradient = estimate(*inputs)
    rows = [tf.TensorSpec([None, *x.shape[1:]], x.dtype) for x in inputs]
    for compiled in (
        tf.function(estimate, input_signature=rows),
        tf.function(estimate, jit_compile=True),
    ):
        again, slopes = compiled(*inputs)
        assert float(again) == pytest.approx(float(value), abs=2e-5)
        np.testing.assert_allclose(slopes, gradient, atol=1e-4)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_outlier_row_does_not_reduce_resolution(far):
    loc = np.array([0.0, 0.4, 1.0, 1.4, 2.0, 2.4, 3.0, far], "float32")
    probs = np.eye(2)[[0, 1, 0, 1, 0, 1, 0, 1]].astype("float32")
    density = lambda b: stats.laplace.pdf(b, loc, 0.1)  # noqa: E731
    knots = np.concatenate([loc + k for k in (-5, -3, -1, -0.3, 0, 0.3, 1, 3, 5)])
    truth = integrated(probs, density, knots)
    value = mutual_information(tfd.Categorical(probs=probs), tfd.Laplace(loc, 0.1))
    assert float(value) == pytest.approx(truth, abs=1e-3)


def test_non_injective_bijectors_are_rejected():
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    normal = tfd.Normal([0.0, 1.0], 1.0)
    bijectors = tfp.bijectors
    for fold in (
        bijectors.AbsoluteValue(),
        bijectors.Chain([bijectors.Scale(2.0), bijectors.AbsoluteValue()]),
    ):
        with pytest.raises(ValueError, match="can be integrated|with a density"):
            mutual_information(a, tfd.TransformedDistribution(normal, fold))


def test_density_with_cusp_has_finite_gradients():
    inputs = [tf.constant([0.0, 1.0, 3.0]), tf.fill([3], 0.01)]
    a = tfd.Categorical(logits=[[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = mutual_information(a, tfd.GeneralizedNormal(*inputs, power=0.8))
    assert all(np.isfinite(g).all() for g in tape.gradient(value, inputs))


def test_density_without_mean_and_negative_concentration():
    probs, loc, scale = predictions("typical", rows=6)
    loc, scale = loc.astype("float32"), scale.astype("float32")
    a = tfd.Categorical(probs=probs.astype("float32"))
    knots = np.concatenate([[0], np.geomspace(1e-5, 1e7, 120)])
    truth = integrated(probs, lambda b: stats.halfcauchy.pdf(b, 0, scale), knots)
    value = mutual_information(a, tfd.HalfCauchy(np.float32(0.0), scale))
    assert float(value) == pytest.approx(truth, abs=2e-4)
    knots = np.concatenate([loc, loc + scale / 0.3, np.linspace(-10, 10, 40)])
    density = lambda b: stats.genpareto.pdf(b, -0.3, loc, scale)  # noqa: E731
    value = mutual_information(a, tfd.GeneralizedPareto(loc, scale, np.float32(-0.3)))
    assert float(value) == pytest.approx(integrated(probs, density, knots), abs=2e-4)


def test_half_precision_densities_are_rejected():
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    loc = tf.constant([0.0, 1.0], tf.bfloat16)
    with pytest.raises(ValueError, match="float32 or float64"):
        mutual_information(a, tfd.Laplace(loc, tf.ones_like(loc)))


def test_entropy_of_gamma_variable_matches_scipy():
    shape, rate = 3.0, 0.5
    b = tfd.Gamma([shape, shape], [rate, rate])
    a = tfd.Bernoulli(probs=[0.5, 0.5])
    terms = kml.information.mutual_information_terms(a, b)
    truth = stats.gamma.entropy(shape, scale=1 / rate)
    assert float(terms.entropy_b) == pytest.approx(truth, abs=1e-4)


def test_invariance_to_monotone_transformations():
    probs, loc, scale = predictions(rows=16)
    a, b = predicted_pair(probs, loc, scale)
    value = float(mutual_information(a, b))
    for mapped in (
        tfd.LogNormal(b.loc, b.scale),
        tfd.TransformedDistribution(b, tfp.bijectors.Sinh()),
        tfd.TransformedDistribution(b, tfp.bijectors.Scale(-3.0)),
    ):
        assert float(mutual_information(a, mapped)) == pytest.approx(value, abs=1e-6)
    beta = tfd.Beta(1 + tf.exp(b.loc), 1 + b.scale)
    squared = tfd.TransformedDistribution(beta, tfp.bijectors.Power(2.0))
    value = float(mutual_information(a, beta))
    assert float(mutual_information(a, squared)) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e15])
@pytest.mark.parametrize(
    "family", ["laplace", "logistic", "gumbel", "student", "log-normal", "mixture"]
)
def test_density_families_with_extreme_scales(family, scale):
    """Values and gradients are finite and within bounds."""
    inputs = [tf.constant([0.0, 1.0, 5.0]), tf.constant([1.0, 1.0, 3.0]) * scale]
    a = tfd.Categorical(logits=[[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = mutual_information(a, FAMILIES[family](*inputs)[0])
    for tensor in (value, *tape.gradient(value, inputs)):
        assert np.isfinite(tensor).all()
    bound = kml.information.mutual_information_bounds(a, a).input_information
    assert -1e-6 <= value <= bound + 1e-6
    if scale <= 1e-6:
        assert float(value) == pytest.approx(float(bound), abs=1e-5)


def test_gradient_of_densities_with_heavy_tails():
    """Points far in the tails of one row must not overflow in its gradient."""
    inputs = [tf.constant([0.0, 5.0, -3.0]), tf.constant([0.3, 2.0, 1.0])]
    a = tfd.Categorical(logits=[[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])

    def function(family, inputs):
        return mutual_information(a, family(*inputs))

    for family, same in (
        (tfd.LogNormal, tfd.Normal),
        (tfd.LogitNormal, tfd.Normal),
        (tfd.Gumbel, None),
        (lambda m, s: tfd.Weibull(s, tf.exp(m)), None),
    ):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = function(family, inputs)
        gradients = tape.gradient(value, inputs)
        assert all(np.isfinite(g).all() for g in gradients)
        if same is not None:
            # Mutual information is invariant to a bijection of all rows.
            assert float(value) == pytest.approx(float(function(same, inputs)))


def test_non_integrable_densities_raise():
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    # Nearly all of the mass lies below the smallest positive float.
    with pytest.raises(ValueError, match="densities can be integrated"):
        mutual_information(a, tfd.Gamma([1e-4, 2e-4], [1.0, 1.0]))
    half = mutual_information(a, tfd.Beta([0.5, 2.0], [0.5, 3.0]))
    assert 0 < float(half) < 0.4
