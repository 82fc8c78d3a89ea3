"""Tests of mutual information between predicted distributions."""

from __future__ import annotations

import keras
import mpmath
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from information_cases import integrated, normal, panels, predictions
from scipy import integrate, special, stats

import keras_metaloss as kml
from keras_metaloss.information.predicted._outputs import head_of
from keras_metaloss.information.predicted._pairwise import divergences

tfd = tfp.distributions
mutual_information = kml.information.mutual_information
KINDS = ["typical", "different", "narrow", "very narrow", "wide"]


def heads(probs, loc, scale, dtype="float32"):
    probs, loc, scale = (tf.constant(x, dtype) for x in (probs, loc, scale))
    return tfd.Categorical(probs=probs), tfd.Normal(loc, scale)


@pytest.mark.parametrize("rows", [2, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_quadrature_matches_scipy_integral(kind, rows):
    probs, loc, scale = predictions(kind, rows)
    truth = integrated(probs, *normal(loc, scale))
    a, b = heads(probs, loc, scale)
    assert float(mutual_information(a, b)) == pytest.approx(truth, abs=1e-4)
    assert float(mutual_information(a, b, num_points=512)) == pytest.approx(
        truth, abs=1e-5
    )


@pytest.mark.parametrize(
    ("loc", "scale"),
    [
        ([0.0, 0.1, 9.5, 9.6], [0.1, 0.1, 0.025, 0.025]),
        ([0.0, 0.1, 8.819435, 8.889081], [0.1, 0.1, 0.0232154, 0.0232154]),
        ([0.0, 0.1, 20.0, 20.15], [0.1, 0.1, 0.03, 0.03]),
        ([0.03, 40.0, 2.0, 0.5], [0.2, 0.05, 0.6, 0.01]),
    ],
)
def test_quadrature_resolves_clusters_of_different_scales(loc, scale):
    """Accurate masses of all rows do not imply an accurate information."""
    probs = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    truth = integrated(probs, *normal(np.array(loc), np.array(scale)))
    a, b = heads(probs, loc, scale)
    assert float(mutual_information(a, b)) == pytest.approx(truth, abs=2e-5)
    value = mutual_information(*heads(probs, loc, scale, "float64"), num_points=512)
    assert float(value) == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_nan_in_vector_parameters_propagates(jit_compile):
    @tf.function(jit_compile=jit_compile)
    def estimate(loc):
        a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
        return mutual_information(a, tfd.MultivariateNormalDiag(loc, tf.ones([2, 2])))

    assert np.isnan(estimate(tf.constant([[np.nan, 1.0], [0.0, 1.0]])))
    assert 0 < estimate(tf.constant([[0.3, 1.0], [0.0, 1.0]])) < 0.7


def test_variable_parameters_are_validated():
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    with pytest.raises(ValueError, match="`scale`"):
        mutual_information(a, tfd.Normal([0.0, 1.0], tf.Variable([-1.0, 0.5])))


def test_quadrature_matches_mpmath_integral():
    probs, loc, scale = predictions("typical", rows=3, classes=2)
    prior = probs.mean(axis=0)

    def integrand(b):
        density = [mpmath.npdf(b, m, s) for m, s in zip(loc, scale, strict=True)]
        total = mpmath.fsum(density) / 3
        joint = [
            mpmath.fsum(d * p for d, p in zip(density, column, strict=True)) / 3
            for column in probs.T
        ]
        return mpmath.fsum(
            j * mpmath.log(j / (p * total)) for j, p in zip(joint, prior, strict=True)
        )

    knots = sorted({*(loc - 8 * scale), *loc, *(loc + 8 * scale)})
    truth = float(mpmath.quad(integrand, knots))
    value = mutual_information(*heads(probs, loc, scale, "float64"), num_points=512)
    assert value.dtype == tf.float64
    assert float(value) == pytest.approx(truth, abs=1e-9)


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


def test_two_continuous_variables():
    _, loc, scale = predictions("typical", rows=4)
    other, other_scale = loc[::-1] + 0.3 * loc, scale + 0.2
    first, first_knots = normal(loc, scale)
    second, second_knots = normal(other, other_scale)

    def inner(x):
        px = first(x)

        def integrand(y):
            py = second(y)
            joint = np.mean(px * py)
            return special.xlogy(joint, joint) - special.xlogy(
                joint, px.mean() * py.mean()
            )

        return integrate.fixed_quad(
            np.vectorize(integrand), second_knots.min(), second_knots.max(), n=100
        )[0]

    truth = integrate.fixed_quad(
        np.vectorize(inner), first_knots.min(), first_knots.max(), n=100
    )[0]
    x = heads(loc, loc, scale)[1]
    y = heads(loc, other, other_scale)[1]
    assert float(mutual_information(x, y)) == pytest.approx(truth, abs=1e-4)
    narrow = tfd.Normal(x.loc, 1e-5)
    assert float(mutual_information(narrow, narrow)) == pytest.approx(
        np.log(4), abs=1e-4
    )


def test_two_categorical_variables():
    probs, *_ = predictions(classes=3)
    other = predictions(classes=4, seed=1)[0]
    joint = probs.T @ other / len(probs)
    truth = np.sum(
        joint * np.log(joint / np.outer(joint.sum(axis=1), joint.sum(axis=0)))
    )
    a, b = (tfd.Categorical(probs=x.astype("float32")) for x in (probs, other))
    one_hot = tfd.OneHotCategorical(probs=other.astype("float32"))
    assert float(mutual_information(a, b)) == pytest.approx(truth, abs=1e-6)
    assert float(mutual_information(a, one_hot)) == pytest.approx(truth, abs=1e-6)


def test_entropies_match_numerical_integrals():
    probs, loc, scale = predictions("different", rows=6)
    density, knots = normal(loc, scale)
    loc, scale = 3 + 40 * loc, 40 * scale  # Adds log 40.
    terms = kml.information.mutual_information_terms(*heads(probs, loc, scale))
    prior = probs.mean(axis=0)
    truth = panels(
        lambda b: -special.xlogy(density(b).mean(), density(b).mean()), knots
    )
    assert float(terms.entropy_a) == pytest.approx(-np.sum(prior * np.log(prior)), 1e-5)
    assert float(terms.entropy_b) == pytest.approx(truth + np.log(40), abs=1e-4)
    assert float(terms.joint_entropy) == pytest.approx(
        float(terms.entropy_a + terms.entropy_b - terms.mutual_information)
    )


def test_entropy_of_gamma_variable_matches_scipy():
    shape, rate = 3.0, 0.5
    b = tfd.Gamma([shape, shape], [rate, rate])
    a = tfd.Bernoulli(probs=[0.5, 0.5])
    terms = kml.information.mutual_information_terms(a, b)
    truth = stats.gamma.entropy(shape, scale=1 / rate)
    assert float(terms.entropy_b) == pytest.approx(truth, abs=1e-4)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_symmetry_and_invariances(kind, seed):
    probs, loc, scale = predictions(kind, rows=16, seed=seed)
    a, b = heads(probs, loc, scale)
    value = float(mutual_information(a, b))
    of_input = float(kml.information.mutual_information_bounds(a, b).input_information)
    assert -1e-6 <= value <= of_input + 1e-6 <= np.log(4) + 2e-6
    assert float(mutual_information(b, a)) == pytest.approx(value, abs=1e-6)
    order = np.random.default_rng(seed).permutation(16)
    permuted = heads(probs[order][:, [2, 0, 3, 1]], loc[order], scale[order])
    assert float(mutual_information(*permuted)) == pytest.approx(value, abs=1e-5)
    for shift, stretch in ((5.0, -1e-6), (0.0, 1e12)):
        scaled = heads(probs, stretch * (shift + loc), abs(stretch) * scale)
        assert float(mutual_information(*scaled)) == pytest.approx(value, abs=3e-5)


def test_invariance_to_monotone_transformations():
    probs, loc, scale = predictions(rows=16)
    a, b = heads(probs, loc, scale)
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


def test_sample_weights_match_repeated_rows():
    probs, loc, scale = predictions(rows=6)
    a, b = heads(probs, loc, scale)
    counts = np.array([1, 2, 0, 3, 1, 1])
    repeated = heads(*(np.repeat(x, counts, axis=0) for x in (probs, loc, scale)))
    for method in ("quadrature", "pairwise_bhattacharyya", "pairwise_kl"):
        weighted = mutual_information(a, b, method, sample_weight=counts)
        expected = mutual_information(*repeated, method)
        assert float(weighted) == pytest.approx(float(expected), abs=1e-5)
    assert float(mutual_information(a, b, sample_weight=[1, 0, 0, 0, 0, 0])) == 0
    assert float(mutual_information(a, b, sample_weight=np.zeros(6))) == 0


@pytest.mark.parametrize("kind", ["typical", "different", "very narrow"])
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_gradient_matches_finite_differences(kind, leave_one_out):
    probs, loc, scale = predictions(kind, rows=7, classes=3)
    # Two rows of weight 0 fix the range of the grid, which has no gradient.
    loc[:2], scale[:2] = (-12, 12), 0.1
    weights = np.array([0, 0, 1, 1, 1, 2, 1.0])
    rng = np.random.default_rng(0)
    inputs = [tf.constant(x) for x in (np.log(probs), loc, np.log(scale))]

    @tf.function
    def function(z, m, s):
        return mutual_information(
            tfd.Categorical(logits=z),
            tfd.Normal(m, tf.exp(s)),
            num_points=512,
            leave_one_out=leave_one_out,
            sample_weight=weights,
        )

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
    for index, gradient in enumerate(tape.gradient(value, inputs)):
        if kind == "typical":
            assert np.abs(gradient).max() > 1e-4
        for _ in range(3):
            direction = rng.normal(size=gradient.shape)
            if index:
                direction[:2] = 0
            step = 1e-3 * scale.min() if index == 1 else 1e-4
            moved = [list(inputs), list(inputs)]
            for which, sign in enumerate((1, -1)):
                moved[which][index] = inputs[index] + sign * step * direction
            ends = [float(function(*x)) for x in moved]
            slope = (ends[0] - ends[1]) / (2 * step)
            assert np.sum(gradient * direction) == pytest.approx(
                slope, rel=2e-3, abs=1e-4
            )


def test_gradient_of_pairwise_methods_and_values():
    probs, loc, _ = predictions(rows=5, classes=3)
    points = np.stack([loc, loc**2], axis=1)
    cases = {
        "value": lambda x: mutual_information(
            tfd.Categorical(probs=probs), tfd.Deterministic(x[:, 0])
        ),
        "vector": lambda x: mutual_information(
            tfd.Categorical(probs=probs), tfd.MultivariateNormalDiag(x, tf.exp(x / 9))
        ),
        "classes": lambda x: mutual_information(
            tfd.Independent(tfd.Bernoulli(logits=x), 1), tfd.VectorDeterministic(x)
        ),
        "kl": lambda x: mutual_information(
            tfd.Independent(tfd.Normal(x, 1.0 + x**2), 1),
            tfd.Categorical(logits=probs),
            "pairwise_kl",
        ),
        "full": lambda x: mutual_information(
            tfd.MultivariateNormalTriL(
                x, tf.linalg.diag(tf.exp(x / 9)) + [[0, 0], [0.3, 0]]
            ),
            tfd.Categorical(probs=probs),
        ),
    }
    for name, function in cases.items():
        theory, numeric = tf.test.compute_gradient(function, [points], delta=1e-5)
        np.testing.assert_allclose(theory[0], numeric[0], atol=2e-6, err_msg=name)
        assert np.abs(theory[0]).max() > 1e-3, name


def test_gradient_is_zero_along_scaling_of_values():
    probs, loc, _ = predictions(rows=12)
    x = tf.Variable(loc)
    with tf.GradientTape() as tape:
        value = mutual_information(tfd.Categorical(probs=probs), tfd.Deterministic(x))
    gradient = tape.gradient(value, x)
    assert np.abs(gradient).max() > 1e-3
    assert float(tf.tensordot(gradient, x, 1)) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("method", ["quadrature", "pairwise_bhattacharyya"])
@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e15])
@pytest.mark.parametrize("spread", [0.0, 1.0, 1e6])
def test_extreme_parameters_give_finite_results(method, scale, spread):
    logits = np.array([[0, -np.inf, 1], [1e4, 0, -1e4], [0, 0, 0]], "float32")
    inputs = [
        tf.constant(logits),
        tf.constant([0.0, spread, 5 * spread]),
        tf.constant([scale, scale, 3 * scale]),
    ]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        terms = kml.information.mutual_information_terms(
            tfd.Categorical(logits=inputs[0]), tfd.Normal(*inputs[1:]), method
        )
        value = terms.mutual_information
    gradients = tape.gradient(value, inputs)
    for tensor in (*terms, *gradients):
        assert np.isfinite(tensor).all(), (tensor, gradients)
    assert -1e-6 <= value <= np.log(3)


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


def test_triangular_scale_is_validated():
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    scale = np.stack([np.eye(2), [[1.0, 0.0], [0.3, -1.0]]]).astype("float32")
    with pytest.raises(ValueError, match="`scale_tril`"):
        mutual_information(a, tfd.MultivariateNormalTriL(tf.zeros([2, 2]), scale))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e15])
def test_divergences_with_extreme_scales(scale):
    inputs = [tf.constant([[0.0, 1.0], [2.0, 3.0]]), tf.fill([2, 2], scale)]
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    for method in ("pairwise_kl", "pairwise_bhattacharyya"):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            b = tfd.MultivariateNormalDiag(*inputs)
            value = mutual_information(a, b, method)
        for tensor in (value, *tape.gradient(value, inputs)):
            assert np.isfinite(tensor).all()


def test_zero_probabilities_have_finite_gradients():
    probs = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(probs)
        a = tfd.Categorical(probs=probs)
        value = mutual_information(a, a) + mutual_information(
            a, tfd.Normal([0.0, 1.0, 2.0], 0.5)
        )
    assert np.isfinite(tape.gradient(value, probs)).all()


def test_single_input_has_zero_information():
    a, b = heads(*predictions(rows=1))
    for leave_one_out in (False, True):
        assert float(mutual_information(a, b, leave_one_out=leave_one_out)) == 0
    assert float(mutual_information(a, b, "pairwise_kl")) == 0
    assert float(mutual_information(a, tfd.Deterministic([3.0]))) == 0


def test_constant_values_have_zero_information():
    probs, *_ = predictions(rows=6)
    x = tf.Variable(np.full(6, 3.0, "float32"))
    with tf.GradientTape() as tape:
        a = tfd.Categorical(probs=probs.astype("float32"))
        value = mutual_information(a, tfd.Deterministic(x))
    assert float(value) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(tape.gradient(value, x)).all()


def test_deterministic_values_use_silverman_bandwidth():
    probs, loc, _ = predictions(rows=20)
    loc = loc.astype("float32")
    a = tfd.Categorical(probs=probs.astype("float32"))
    width = 1.06 * loc.std() * 20**-0.2
    value = float(mutual_information(a, tfd.Deterministic(loc)))
    expected = float(mutual_information(a, tfd.Normal(loc, width)))
    assert value == pytest.approx(expected, abs=1e-6)
    column = tfd.VectorDeterministic(loc[:, np.newaxis])
    assert float(mutual_information(a, column)) == pytest.approx(expected, abs=1e-6)
    wider = float(mutual_information(a, tfd.Normal(loc, 0.3), bandwidth=0.4))
    assert wider == pytest.approx(
        float(mutual_information(a, tfd.Normal(loc, 0.5))), abs=1e-6
    )


def test_pairwise_estimates_bracket_the_exact_value():
    probs, loc, scale = predictions(rows=64)
    a, b = heads(probs, loc, scale)
    exact = float(mutual_information(a, b))
    below = float(mutual_information(a, b, "pairwise_bhattacharyya"))
    above = float(mutual_information(a, b, "pairwise_kl"))
    assert exact - 0.06 < below < exact < above < exact + 0.2


@pytest.mark.parametrize("kind", ["kl", "bhattacharyya"])
def test_divergences_match_numerical_integrals(kind):
    _, loc, scale = predictions(rows=4)
    dist = tfd.Normal(loc, scale)
    found = divergences("b", head_of("b", dist), kind).numpy()
    x = np.linspace(-20, 20, 200001)
    p = stats.norm.pdf(x[:, np.newaxis], loc, scale)
    for i in range(4):
        for j in range(4):
            if kind == "kl":
                log_p = stats.norm.logpdf(x[:, np.newaxis], loc, scale)
                each = p[:, i] * (log_p[:, i] - log_p[:, j])
                truth = np.sum(each) * (x[1] - x[0])
            else:
                truth = -np.log(np.sum(np.sqrt(p[:, i] * p[:, j])) * (x[1] - x[0]))
            assert found[i, j] == pytest.approx(truth, abs=1e-6)
    diag = tfd.MultivariateNormalDiag(
        np.stack([loc, -loc], 1), np.stack([scale] * 2, 1)
    )
    full = tfd.MultivariateNormalTriL(diag.loc, tf.linalg.diag(diag.stddev()))
    for vector in (diag, full, tfd.Independent(tfd.Normal(diag.loc, diag.stddev()), 1)):
        twice = divergences("b", head_of("b", vector), kind)
        np.testing.assert_allclose(twice, 2 * found, atol=1e-6)


def test_leave_one_out_matches_numpy_reference():
    """The reference decodes from the other rows on a dense grid."""
    probs, loc, scale = predictions(rows=7, classes=3)
    low, high = (loc - 6.5 * scale).min(), (loc + 6.5 * scale).max()
    grid = np.linspace(low, high, 20001)
    step = grid[1] - grid[0]
    density = stats.norm.pdf(grid, loc[:, np.newaxis], scale[:, np.newaxis])
    prior, floor = probs.mean(axis=0), 1 / (7 * (high - low))
    truth = -np.sum(prior * np.log(prior))
    for i in range(7):
        others = np.delete(np.arange(7), i)
        above = probs[others].T @ density[others] / 7 + floor * prior[:, np.newaxis]
        below = density[others].sum(axis=0) / 7 + floor
        truth += np.sum(probs[i] @ np.log(above / below) * density[i]) * step / 7
    bounds = kml.information.mutual_information_bounds(*heads(probs, loc, scale), 512)
    assert float(bounds.leave_one_out) == pytest.approx(truth, abs=5e-4)
    assert bounds.leave_one_out < bounds.in_batch < bounds.input_information


def test_leave_one_out_is_negative_for_chance():
    rng = np.random.default_rng(0)
    chance = []
    for _ in range(20):
        probs = rng.dirichlet(np.ones(5), size=32).astype("float32")
        b = tfd.Normal(rng.uniform(-3, 3, 32).astype("float32"), 0.05)
        a = tfd.Categorical(probs=probs)
        chance.append(kml.information.mutual_information_bounds(a, b)[:2])
    leave_one_out, in_batch = np.mean(chance, axis=0)
    assert leave_one_out < 0 < 0.1 < in_batch


@pytest.mark.parametrize("jit", [False, True])
def test_graph_and_xla_match_eager(jit):
    probs, loc, scale = predictions("different", rows=6)
    a, b = heads(probs, loc, scale)
    expected = mutual_information(a, b), mutual_information(a, tfd.Deterministic(b.loc))

    @tf.function(
        jit_compile=jit,
        input_signature=[
            tf.TensorSpec([None, 4]),
            tf.TensorSpec([None]),
            tf.TensorSpec([None]),
        ],
    )
    def function(p, m, s):
        with tf.GradientTape() as tape:
            tape.watch(m)
            a = tfd.Categorical(probs=p)
            first = mutual_information(a, tfd.Normal(m, s))
            second = mutual_information(a, tfd.Deterministic(m))
            both = first + second
        return first, second, tape.gradient(both, m)

    first, second, gradient = function(a.probs, b.loc, b.scale)
    values = float(first), float(second)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert np.isfinite(gradient.numpy()).all()


def test_half_precision_is_computed_in_float32():
    probs, loc, scale = predictions(rows=6)
    a, b = heads(probs, loc, scale, "float16")
    value = mutual_information(a, b)
    assert value.dtype == tf.float32
    expected = mutual_information(*heads(probs, loc, scale))
    assert float(value) == pytest.approx(float(expected), abs=2e-3)


NORMAL = tfd.Normal([0.0, 1.0], [1.0, 1.0])
COIN = tfd.Bernoulli(probs=[0.2, 0.8])
BAD = {
    "tensorflow_probability": (keras.ops.ones((2, 3)), NORMAL, {}),
    "batch shape": (tfd.Normal(0.0, 1.0), COIN, {}),
    "batch shape \\(2, 3\\)": (tfd.Normal(tf.zeros([2, 3]), 1.0), COIN, {}),
    "the same batch shape": (COIN, tfd.Normal([0.0, 1.0, 2.0], 1.0), {}),
    "`scale` to be finite and positive": (COIN, tfd.Normal([0.0, 1.0], [1.0, 0.0]), {}),
    "`loc` to be finite\\.": (COIN, tfd.Normal([0.0, np.nan], 1.0), {}),
    "sum to one": (tfd.Categorical(probs=[[0.2, 0.2]] * 2), NORMAL, {}),
    "neither NaN nor all minus infinity": (
        tfd.Categorical(logits=[[-np.inf] * 2] * 2),
        NORMAL,
        {},
    ),
    "finitely many": (tfd.Poisson([1.0, 2.0]), NORMAL, {}),
    "`method`": (COIN, NORMAL, {"method": "ksg"}),
    "`num_points`": (COIN, NORMAL, {"num_points": 4}),
    "positive integer": (COIN, NORMAL, {"num_points": True}),
    "`bandwidth`": (COIN, NORMAL, {"bandwidth": -1.0}),
    "deterministic distributions only": (
        COIN,
        tfd.Laplace([0.0, 1.0], 1.0),
        {"bandwidth": 0.1},
    ),
    "`leave_one_out`": (NORMAL, NORMAL, {"leave_one_out": True}),
    "pairwise_bhattacharyya'": (
        COIN,
        tfd.MultivariateNormalDiag(tf.zeros([2, 2])),
        {"leave_one_out": True},
    ),
    "for vectors": (
        COIN,
        tfd.MultivariateNormalDiag(tf.zeros([2, 2])),
        {"method": "quadrature"},
    ),
    "closed form": (
        COIN,
        tfd.Independent(tfd.StudentT(3.0, tf.zeros([2, 2]), 1.0), 1),
        {},
    ),
    "one weight per input": (COIN, NORMAL, {"sample_weight": [1.0, 1.0, 1.0]}),
    "non-negative numbers": (COIN, NORMAL, {"sample_weight": [1.0, -1.0]}),
}


@pytest.mark.parametrize("message", BAD)
def test_invalid_arguments_raise(message):
    a, b, arguments = BAD[message]
    with pytest.raises(ValueError, match=message) as error:
        mutual_information(a, b, **arguments)
    assert "Received:" in str(error.value)


def test_bounds_require_a_categorical_variable():
    with pytest.raises(ValueError, match="`dist_a`"):
        kml.information.mutual_information_bounds(NORMAL, COIN)
