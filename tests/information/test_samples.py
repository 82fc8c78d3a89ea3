"""Mutual information from samples, compared to true values and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import truths
from scipy.special import digamma
from scipy.stats import spearmanr
from sklearn.feature_selection._mutual_info import _compute_mi_cc, _compute_mi_cd
from sklearn.metrics import mutual_info_score

import keras_metaloss as kml

info = kml.information

FAMILIES = {
    "gaussian 1": lambda: truths.gaussian(1, 0.75),
    "gaussian 2": lambda: truths.gaussian(2, 0.6),
    "gaussian 3": lambda: truths.dense_gaussian(3, 0.5),
    "gaussian 5": lambda: truths.dense_gaussian(5, 0.3, seed=2),
    "bimodal": truths.bimodal,
    "half-cube": truths.half_cube,
    "additive noise": truths.additive_noise,
    "student": truths.student,
}


@pytest.fixture(scope="module")
def families():
    return {name: make() for name, make in FAMILIES.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_ksg_is_close_to_the_true_value(families, name):
    x, y, truth = families[name]
    assert float(info.mutual_information_ksg(x, y)) == pytest.approx(truth, abs=0.02)
    value = info.mutual_information_ksg(x, y, variant=2)
    assert float(value) == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("name", ["gaussian 1", "bimodal", "half-cube", "student"])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-9])
def test_ksg_equals_scikit_learn(families, name, scale):
    x, y, _ = (np.ravel(v) * scale for v in families[name])
    x, y = x[:3000], y[:3000]
    for k in (3, 6):
        # scikit-learn clips its estimate at zero.
        value = max(0, float(info.mutual_information_ksg(x, y, k)))
        assert value == pytest.approx(_compute_mi_cc(x, y, k), abs=1e-9)


def reference_ksg(x, y, k, variant):
    """Computes Kraskov's equations 8 and 9 from full distance matrices."""
    d_x = np.abs(x[:, None] - x[None]).max(-1)
    d_y = np.abs(y[:, None] - y[None]).max(-1)
    joint = np.maximum(d_x, d_y)
    np.fill_diagonal(joint, np.inf)
    near = np.argsort(joint, axis=1)[:, :k]
    size = len(x)
    if variant == 1:
        radius = np.take_along_axis(joint, near, 1)[:, -1:]
        n_x, n_y = (d_x < radius).sum(1) - 1, (d_y < radius).sum(1) - 1
        mean = np.mean(digamma(n_x + 1) + digamma(n_y + 1))
        return digamma(k) + digamma(size) - mean
    side_x = np.take_along_axis(d_x, near, 1).max(1, keepdims=True)
    side_y = np.take_along_axis(d_y, near, 1).max(1, keepdims=True)
    n_x, n_y = (d_x <= side_x).sum(1) - 1, (d_y <= side_y).sum(1) - 1
    mean = np.mean(digamma(n_x) + digamma(n_y))
    return digamma(k) - 1 / k - mean + digamma(size)


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_ksg_equals_its_equations_in_eager_graph_and_xla(dimensions, variant):
    x, y, _ = truths.gaussian(dimensions, 0.7, seed=9, size=400)
    expected = reference_ksg(x, y, 4, variant)

    def estimate(x, y):
        return info.mutual_information_ksg(x, y, 4, variant)

    any_length = tf.function(
        estimate,
        input_signature=[tf.TensorSpec([None, dimensions], tf.float64)] * 2,
    )
    for mode in (estimate, any_length, tf.function(estimate, jit_compile=True)):
        assert float(mode(x, y)) == pytest.approx(expected, abs=1e-12)
    single = estimate(tf.constant(x, tf.float32), tf.constant(y, tf.float32))
    assert single.dtype == tf.float32
    assert float(single) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("dimensions", [1, 5])
def test_ksg_without_scipy_gives_equal_values(monkeypatch, dimensions):
    x, y, _ = truths.gaussian(dimensions, 0.7, size=500)
    expected = float(info.mutual_information_ksg(x, y))
    monkeypatch.setattr(
        "keras_metaloss.information.samples._neighbors._HAS_SCIPY", False
    )
    assert float(info.mutual_information_ksg(x, y)) == expected


def test_rank_reduces_the_error_for_heavy_tails():
    x, y, truth = truths.student(degrees=1)
    assert truth == pytest.approx(0.2242, abs=1e-4)  # Published value.
    plain = float(info.mutual_information_ksg(x, y))
    rank = float(info.mutual_information_ksg(x, y, preprocess="rank"))
    assert abs(rank - truth) < 0.02 < abs(plain - truth)


def test_preprocess_removes_monotonic_and_linear_changes():
    x, y, _ = truths.gaussian(1, 0.7, size=1000)
    rank = info.mutual_information_ksg(x, y, preprocess="rank")
    assert float(info.mutual_information_ksg(x**3, y, preprocess="rank")) == float(rank)
    plain = float(info.mutual_information_ksg(x / x.std(), y / y.std()))
    scaled = info.mutual_information_ksg(1e3 * x + 7, y, preprocess="standardize")
    assert float(scaled) == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("preprocess", [None, "rank"])
def test_mixed_ksg_on_gaos_uniform_discrete_family(preprocess):
    x, y, truth = truths.uniform_discrete()
    assert truth == pytest.approx(np.log(5) - 4 * np.log(2) / 5, abs=1e-12)
    x = x.astype(float)
    value = info.mutual_information_mixed_ksg(x, y, preprocess=preprocess)
    assert float(value) == pytest.approx(truth, abs=0.02)


def test_mixed_ksg_and_ross_on_zero_inflated_poisson():
    x, y, truth = truths.zero_inflated_poisson()
    assert truth == pytest.approx(0.22978, abs=1e-5)
    mixed = float(info.mutual_information_mixed_ksg(x, y.astype(float)))
    assert mixed == pytest.approx(truth, abs=0.02)
    assert float(info.mutual_information_ross(y, x)) == pytest.approx(truth, abs=0.02)


def reference_mixed(x, y, k):
    """Computes the loop of Gao's published code on full distance matrices."""
    d_x, d_y = (np.abs(v[:, None] - v[None]) for v in (x, y))
    joint = np.maximum(d_x, d_y)
    total = 0.0
    for i in range(len(x)):
        radius = np.sort(joint[i])[k]
        if radius == 0:
            counts = [(d[i] == 0).sum() for d in (joint, d_x, d_y)]
        else:
            counts = [k, (d_x[i] < radius).sum(), (d_y[i] < radius).sum()]
        own, n_x, n_y = digamma(counts)
        total += own + np.log(len(x)) - n_x - n_y
    return total / len(x)


def test_mixed_ksg_equals_gaos_code():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, size=300).astype(float)
    y = np.where(rng.uniform(size=300) < 0.4, x, x + rng.normal(size=300))
    for a, b in ((x, y), (y, y.round()), (rng.normal(size=300), y)):
        value = float(info.mutual_information_mixed_ksg(a, b, 4))
        assert value == pytest.approx(reference_mixed(a, b, 4), abs=1e-12)
        compiled = tf.function(info.mutual_information_mixed_ksg, jit_compile=True)
        assert float(compiled(a, b, 4)) == pytest.approx(value, abs=1e-12)


def reference_ross(labels, y, k):
    """Computes Ross's equation 2 from a full distance matrix."""
    counts = {label: np.sum(labels == label) for label in labels}
    used = np.array([counts[label] > 1 for label in labels])
    labels, y = labels[used], y[used]
    table = np.abs(y[:, None] - y)
    terms = []
    for i, label in enumerate(labels):
        own = np.sort(table[i, labels == label])[1:]
        near = min(k, len(own))
        closer = np.sum(table[i] < own[near - 1])
        terms.append(digamma(near) - digamma(len(own) + 1) - digamma(closer))
    return digamma(len(y)) + np.mean(terms)


def test_ross_with_rare_labels_equals_its_equation():
    # scikit-learn is not exact here: it computes distances from dot products.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, size=300) ** 2 // 60
    labels[:2] = 98, 99
    y = labels + rng.normal(size=300)
    value = float(info.mutual_information_ross(labels, y, 8))
    assert value == pytest.approx(reference_ross(labels, y, 8), abs=1e-12)


def test_ross_equals_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, size=300)
    labels[:2] = 98, 99  # These occur once.
    y = labels + rng.normal(size=300)
    for k in (3, 8):
        value = float(info.mutual_information_ross(labels, y, k))
        assert value == pytest.approx(_compute_mi_cd(y, labels, k), abs=1e-12)
        compiled = tf.function(info.mutual_information_ross, jit_compile=True)
        assert float(compiled(labels, y, k)) == pytest.approx(value, abs=1e-12)


def test_ross_equals_ksg_with_widely_spaced_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, size=400)
    y = labels[:, None] / 2 + rng.normal(size=(400, 2))
    ross = float(info.mutual_information_ross(labels, y))
    ksg = float(info.mutual_information_ksg(labels * 100.0, y))
    assert ross == pytest.approx(ksg, abs=1e-12)


def test_plug_in_equals_scikit_learn():
    rng = np.random.default_rng(0)
    a = rng.integers(-3, 5, size=500)
    b = (a + rng.integers(0, 3, size=500)) % 7 * 10**12
    value = info.mutual_information_plug_in(a, b)
    assert float(value) == pytest.approx(mutual_info_score(a, b), abs=1e-6)
    compiled = tf.function(info.mutual_information_plug_in, jit_compile=True)
    assert float(compiled(a, b)) == pytest.approx(float(value), abs=1e-6)
    # The correction removes most of the bias of independent labels.
    a, b = rng.integers(0, 8, size=(2, 2000))
    plug_in = float(info.mutual_information_plug_in(a, b))
    corrected = float(info.mutual_information_miller_madow(a, b))
    assert plug_in - corrected == pytest.approx(49 / 4000, abs=1e-6)
    assert abs(corrected) < plug_in


def test_histogram_equals_numpy():
    x, y, _ = truths.gaussian(1, 0.7, size=2000)
    table = np.histogram2d(x[:, 0], y[:, 0], 10)[0]
    expected = mutual_info_score(None, None, contingency=table)
    assert float(info.mutual_information_histogram(x, y)) == pytest.approx(
        expected, abs=1e-9
    )
    # In two dimensions, it is the plug-in value of the cell indices.
    x, y, _ = truths.gaussian(2, 0.7, size=2000)

    def cells(v):
        low, high = v.min(0), v.max(0)
        bins = np.minimum(np.floor((v - low) / (high - low) * 4), 3)
        return bins @ [4, 1]

    expected = mutual_info_score(cells(x), cells(y))
    value = float(info.mutual_information_histogram(x, y, num_bins=4))
    assert value == pytest.approx(expected, abs=1e-9)


def log_det(matrix):
    return np.linalg.slogdet(matrix)[1]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_gaussian_equals_half_the_log_ratio_of_determinants(split):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4)) * [1, 1e3, 1e-3, 1] + 1e4
    s = np.cov(data.T)
    expected = (
        log_det(s[:split, :split]) + log_det(s[split:, split:]) - log_det(s)
    ) / 2
    value = info.mutual_information_gaussian(data[:, :split], data[:, split:])
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_gaussian_copula_ignores_monotonic_transformations():
    x, y, truth = truths.gaussian(1, 0.75)
    value = float(info.mutual_information_gaussian_copula(x, y))
    changed = info.mutual_information_gaussian_copula(np.exp(x), y**3)
    assert float(changed) == pytest.approx(value, abs=1e-12)
    assert value == pytest.approx(truth, abs=0.02)
    # For a Gaussian copula, Spearman's coefficient determines the correlation.
    rho = 2 * np.sin(np.pi / 6 * spearmanr(x[:, 0], y[:, 0]).statistic)
    assert value == pytest.approx(-np.log(1 - rho**2) / 2, abs=0.01)


def test_kde_equals_its_formula():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = x[:, :1] + rng.normal(size=(300, 1))
    h_x, h_y = (v.std(0, ddof=1) * 300 ** (-1 / 7) for v in (x, y))
    square_x = (((x[:, None] - x) / h_x) ** 2).sum(-1)
    square_y = (((y[:, None] - y) / h_y) ** 2).sum(-1)

    def log_density(square):
        kernels = np.exp(-square / 2)
        np.fill_diagonal(kernels, 0)
        return np.log(kernels.sum(1) / 299)

    expected = np.mean(
        log_density(square_x + square_y) - log_density(square_x) - log_density(square_y)
    )
    value = info.mutual_information_kde(x, y)
    assert float(value) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    "estimate", [info.mutual_information_kde, info.mutual_information_gaussian]
)
def test_gradients_equal_finite_differences(estimate):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    y = x + rng.normal(size=(30, 2))
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = estimate(tensor, y)
    gradient = tape.gradient(value, tensor).numpy()
    for index in [(0, 0), (17, 1)]:
        step = np.zeros_like(x)
        step[index] = 1e-5
        numeric = (float(estimate(x + step, y)) - float(estimate(x - step, y))) / 2e-5
        assert gradient[index] == pytest.approx(numeric, rel=1e-6, abs=1e-9)


def test_sliced_mutual_information_of_a_gaussian():
    # Directions in the plane have a uniform angle t and correlation rho cos t.
    x, y, _ = truths.gaussian(2, 0.9, size=2000)
    angle = (np.arange(1000) + 0.5) / 1000 * np.pi
    truth = np.mean(-np.log1p(-((0.9 * np.cos(angle)) ** 2)) / 2)
    value = info.sliced_mutual_information(x, y, num_projections=64)
    assert float(value) == pytest.approx(truth, abs=0.06)
    assert float(info.sliced_mutual_information(x, y, num_projections=64)) == float(
        value
    )
    compiled = tf.function(
        lambda: info.sliced_mutual_information(x[:300], y[:300], 2), jit_compile=True
    )
    eager = float(info.sliced_mutual_information(x[:300], y[:300], 2))
    assert np.isfinite(float(compiled())) and np.isfinite(eager)
