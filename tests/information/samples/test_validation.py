"""Invalid inputs raise an error, emit a warning or give NaN, never a wrong value."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.sample_estimators import (
    LABELS,
    NEIGHBORS,
    PAIRS,
    SINGLES,
    X,
    Y,
    spoiled,
)

info = kml.information


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", PAIRS)
def test_non_finite_samples_raise(name, bad):
    with pytest.raises(ValueError, match="`x`.*finite.*non-finite values, 1 in total"):
        PAIRS[name](spoiled(bad), Y)
    with pytest.raises(ValueError, match="`y`.*finite"):
        PAIRS[name](X, spoiled(bad))


@pytest.mark.parametrize("name", SINGLES)
def test_invalid_samples_of_entropies_raise(name):
    with pytest.raises(ValueError, match="`x`.*finite"):
        SINGLES[name](spoiled(np.nan))
    with pytest.raises(TypeError, match="`x`.*int64"):
        SINGLES[name](LABELS)
    with pytest.raises(ValueError, match="two samples.*\\(1, 1\\)"):
        SINGLES[name]([1.0])


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", [*PAIRS, "ross"])
def test_non_finite_samples_give_nan_in_graph_mode(name, jit_compile):
    estimator = PAIRS.get(name)
    if name == "ross":

        def estimator(x, _):
            return info.mutual_information_ross(LABELS, x)

    estimate = tf.function(estimator, jit_compile=jit_compile)
    for bad in (np.nan, np.inf):
        assert np.isnan(estimate(tf.constant(spoiled(bad)), tf.constant(Y)))


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", SINGLES)
def test_non_finite_samples_give_nan_entropy_in_graph_mode(name, jit_compile):
    estimate = tf.function(SINGLES[name], jit_compile=jit_compile)
    assert np.isnan(estimate(tf.constant(spoiled(np.nan))))


@pytest.mark.parametrize("name", PAIRS)
def test_validate_args_asserts_finite_samples_in_graph_mode(name):
    @tf.function
    def estimate(x, y):
        return PAIRS[name](x, y, validate_args=True)

    with pytest.raises(tf.errors.InvalidArgumentError, match="finite"):
        estimate(tf.constant(spoiled(np.nan)), tf.constant(Y))


OPEN = tf.TensorSpec([None], "float64")


@pytest.mark.parametrize("name", [*PAIRS, "ross", "plug_in", "miller_madow"])
def test_invalid_dynamic_shapes_give_nan_or_an_error(name):
    """No number is returned for invalid shapes that are known only at run time."""
    labels = {
        "ross": lambda x, y: info.mutual_information_ross(tf.cast(x, "int32"), y),
        "plug_in": lambda *pair: info.mutual_information_plug_in(
            *(tf.cast(v, "int32") for v in pair)
        ),
        "miller_madow": lambda *pair: info.mutual_information_miller_madow(
            *(tf.cast(v, "int32") for v in pair)
        ),
    }
    estimate = tf.function(PAIRS.get(name) or labels[name], input_signature=[OPEN] * 2)
    assert np.isfinite(estimate(10 * X, Y))
    pairs = [(X[:1], Y[:1]), (X, Y[:1]), (X[:1], Y), (X, Y[:299])]
    if name in NEIGHBORS or name == "ross":
        pairs.append((np.zeros(3), Y[:3]))  # As many neighbors as samples.
    for pair in pairs:
        try:
            value = estimate(*pair)
        except tf.errors.InvalidArgumentError:
            continue
        assert np.isnan(value)


def test_too_few_samples_give_nan_entropy_in_graph_mode():
    @tf.function(input_signature=[OPEN])
    def estimate(x):
        return info.entropy_kozachenko_leonenko(x)

    assert np.isfinite(estimate(X[:4]))
    assert np.isnan(estimate(X[:3]))
    assert np.isnan(estimate(X[:1]))


@pytest.mark.parametrize("name", PAIRS)
def test_invalid_shapes_raise(name):
    estimate = PAIRS[name]
    with pytest.raises(ValueError, match="same number.*\\(300, 1\\).*\\(299, 1\\)"):
        estimate(X, Y[1:])
    with pytest.raises(ValueError, match="`x`.*\\(0, 1\\)"):
        estimate(X[:0], Y[:0])
    with pytest.raises(ValueError, match="`x`.*\\(1, 1\\)"):
        estimate(X[:1], Y[:1])
    with pytest.raises(ValueError, match="`y`.*\\[N, D\\].*\\(5, 2, 2\\)"):
        estimate(X[:5], np.zeros((5, 2, 2)))
    with pytest.raises(TypeError, match="`x`.*`mutual_information_plug_in`.*int64"):
        estimate(LABELS, Y)
    column = float(estimate(X[:, None], Y))
    assert column == float(estimate(X, Y[:, None])) == float(estimate(X, Y))


@pytest.mark.parametrize("name", ["ksg", "mixed_ksg", "histogram", "kde", "gaussian"])
def test_unknown_preprocess_raises(name):
    with pytest.raises(ValueError, match="`preprocess`.*'whiten'"):
        PAIRS[name](X, Y, preprocess="whiten")


@pytest.mark.parametrize("name", NEIGHBORS)
@pytest.mark.parametrize("k", [0, -1, 2.0, True, 300, 1000])
def test_invalid_n_neighbors_raises(name, k):
    with pytest.raises(ValueError, match=f"`n_neighbors`.*={k}"):
        NEIGHBORS[name](X, Y, k)
    with pytest.raises(ValueError, match="`n_neighbors`"):
        info.mutual_information_ross(LABELS, Y, k)
    with pytest.raises(ValueError, match="`n_neighbors`"):
        info.entropy_kozachenko_leonenko(X, k)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
@pytest.mark.parametrize(
    "name", ["ksg", "mixed_ksg", "gaussian", "gaussian_copula", "histogram", "kde"]
)
def test_constant_has_zero_mutual_information(name, constant):
    other = np.full(300, constant)
    assert float(PAIRS[name](X, other)) == pytest.approx(0, abs=1e-12)
    assert float(PAIRS[name](other, X)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["gaussian", "kde"])
@pytest.mark.parametrize("constant", [0.1, 3.0])
def test_gradient_at_a_constant_is_finite(name, constant):
    x = tf.fill([300], tf.constant(constant, tf.float64))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = PAIRS[name](x, Y)
    gradient = tape.gradient(value, x).numpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() < 1


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scaling_both_variables_does_not_change_the_value(name, dtype):
    x, y = X.astype(dtype), (X + Y).astype(dtype)
    expected = float(PAIRS[name](x, y))
    for scale in {"float32": (1e-25, 1e25), "float64": (1e-200, 1e200)}[dtype]:
        # Both are scaled, because joint neighbors depend on their relative scale.
        scale = np.array(scale, dtype)
        value = float(PAIRS[name](scale * x, scale * y))
        assert value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["gaussian", "histogram", "kde", "ksg", "mixed_ksg"])
def test_scaling_standardized_data_does_not_change_the_value(name):
    x, y = X.astype("float32"), (X + Y).astype("float32")
    expected = float(PAIRS[name](x, y, preprocess="standardize"))
    for scale in (1e-25, 1e25):
        scaled = np.float32(scale) * x
        value = float(PAIRS[name](scaled, y, preprocess="standardize"))
        assert value == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", SINGLES)
def test_entropy_increases_by_the_logarithm_of_the_scale(name):
    expected = float(SINGLES[name](X))
    for scale in (1e-200, 1e200):
        value = float(SINGLES[name](scale * X))
        assert value - np.log(scale) == pytest.approx(expected, abs=1e-6)


def test_other_invalid_arguments_raise():
    with pytest.raises(ValueError, match="`num_bins`.*0"):
        info.mutual_information_histogram(X, Y, 0)
    with pytest.raises(ValueError, match="`num_projections`.*True"):
        info.sliced_mutual_information(X, Y, True)
    with pytest.raises(ValueError, match="`norm`.*'l1'"):
        info.entropy_kozachenko_leonenko(X, norm="l1")


def test_half_precision_is_computed_in_float32():
    value = info.mutual_information_ksg(
        tf.constant(X, tf.float16), tf.constant(Y, tf.float16)
    )
    assert value.dtype == tf.float32
