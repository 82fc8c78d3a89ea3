"""Bounds from score matrices: TFP, the optimal critic of a Gaussian, invalid scores."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import logsumexp

import keras_metaloss as kml

bounds = kml.information.bounds
theirs = tfp.vi.mutual_information

TFP = {
    name: (getattr(bounds, name), getattr(theirs, name))
    for name in (
        "lower_bound_info_nce",
        "lower_bound_jensen_shannon",
        "lower_bound_nguyen_wainwright_jordan",
    )
}
BOUNDS = {name: ours for name, (ours, _) in TFP.items()} | {
    "tuba": bounds.tuba,
    "interpolated": bounds.interpolated,
    "donsker_varadhan": bounds.donsker_varadhan,
    "smile": bounds.smile,
    "leave_one_out_upper_bound": bounds.leave_one_out_upper_bound,
    "club": bounds.club,
}


def scores(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype) * 2


@pytest.mark.parametrize("name", TFP)
@pytest.mark.parametrize("shape", [(6, 6), (4, 7), (2, 5, 5)])
def test_equals_tfp_where_tfp_is_correct(name, shape):
    ours, tfp_function = TFP[name]
    logu = scores(*shape)
    if shape == (2, 5, 5) and name != "lower_bound_info_nce":
        expected = [tfp_function(matrix) for matrix in logu]
    else:
        expected = tfp_function(logu)
    # TFP converts NumPy arrays to float32.
    np.testing.assert_allclose(ours(logu), expected, rtol=2e-6)


@pytest.mark.parametrize("name", TFP)
def test_equals_tfp_with_a_mask(name):
    ours, tfp_function = TFP[name]
    logu = scores(5, 8)
    mask = np.eye(8, dtype=bool)[[3, 0, 7, 1, 2]]
    value = ours(logu, joint_sample_mask=mask)
    np.testing.assert_allclose(value, tfp_function(logu, mask), rtol=2e-6)


@pytest.mark.parametrize("name", BOUNDS)
def test_batches_masks_unknown_sizes_and_xla(name):
    bound = BOUNDS[name]
    logu = scores(2, 3, 5, 6)
    each = [[float(bound(matrix)) for matrix in row] for row in logu]
    np.testing.assert_allclose(bound(logu), each, rtol=1e-12)
    order = np.array([4, 2, 0, 5, 1, 3])
    masks = np.broadcast_to(np.eye(5, 6, dtype=bool)[:, order], logu.shape)
    masked = bound(logu[..., order], joint_sample_mask=masks)
    np.testing.assert_allclose(masked, each, rtol=1e-12)
    one_mask = bound(logu[..., order], joint_sample_mask=masks[0, 0])
    np.testing.assert_allclose(one_mask, each, rtol=1e-12)
    unknown = tf.function(
        bound, input_signature=[tf.TensorSpec([None, None, None], tf.float64)]
    )
    np.testing.assert_allclose(unknown(logu[0]), each[0], rtol=1e-12)
    compiled = tf.function(bound, jit_compile=True)
    np.testing.assert_allclose(compiled(logu), each, rtol=1e-9)


@pytest.mark.parametrize("name", BOUNDS)
def test_gradients_equal_finite_differences(name):
    logu = scores(4, 5)
    tensor = tf.constant(logu)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = BOUNDS[name](tensor)
    gradient = tape.gradient(value, tensor).numpy()
    for index in [(0, 0), (1, 3), (3, 4)]:
        step = np.zeros_like(logu)
        step[index] = 1e-5
        up, down = (float(BOUNDS[name](logu + s)) for s in (step, -step))
        assert gradient[index] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("scale", [90.0, 1e4, 1e12])
def test_values_and_gradients_of_huge_scores_are_finite(name, scale):
    tensor = tf.constant(scores(6, 6, dtype="float32") * scale)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = BOUNDS[name](tensor)
    assert np.isfinite(value.numpy())
    gradient = tape.gradient(value, tensor).numpy()
    assert np.isfinite(gradient).all() and np.isfinite(gradient**2).all()


# Expected means over batches with the optimal critic in 20 dimensions, computed by an
# independent NumPy implementation, per true mutual information and batch size.
ORACLE = {
    (2, 64): (1.83, 2.02, 2.03, 2.40, 2.05, 2.18, 4.46),
    (4, 64): (3.07, 4.04, 4.08, 4.66, 4.27, 4.72, 9.81),
    (6, 64): (3.73, 5.96, 6.20, 6.84, 6.70, 7.86, 16.5),
    (8, 64): (4.03, 8.07, 8.59, 8.93, 9.32, 11.7, 24.5),
    (10, 64): (4.12, 9.99, 11.3, 10.9, 12.0, 16.2, 34.3),
    (10, 256): (5.43, 10.2, 10.5, 11.0, 11.9, 14.1, 34.3),
}
SPREAD = {
    (2, 64): (0.20, 0.26, 0.26, 0.25, 0.25, 0.25, 0.54),
    (4, 64): (0.19, 0.44, 0.42, 0.33, 0.35, 0.38, 0.54),
    (6, 64): (0.13, 1.32, 0.69, 0.37, 0.45, 0.52, 0.8),
    (8, 64): (0.07, 1.67, 0.96, 0.43, 0.56, 0.7, 1.1),
    (10, 64): (0.04, 4.08, 1.4, 0.5, 0.7, 0.9, 1.6),
    (10, 256): (0.04, 1.2, 0.7, 0.2, 0.3, 0.4, 0.8),
}


def gaussian_log_ratios(truth, size, batches, seed=0):
    """Returns `log p(y_i|x_j) / p(y_i)` for 20 pairs of correlated coordinates."""
    rho = np.sqrt(1 - np.exp(-2 * truth / 20))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batches, 1, size, 20))
    y = np.swapaxes(x, 1, 2) * rho
    y = y + np.sqrt(1 - rho**2) * rng.normal(size=y.shape)
    ratio = -((y - rho * x) ** 2) / (2 * (1 - rho**2)) + y**2 / 2
    return (ratio - np.log1p(-(rho**2)) / 2).sum(-1)


@pytest.mark.parametrize(("truth", "size"), ORACLE)
def test_values_of_the_optimal_gaussian_critic(truth, size):
    batches = 40 if size == 64 else 10
    ratios = tf.constant(gaussian_log_ratios(truth, size, batches))
    values = [
        bounds.lower_bound_info_nce(ratios),
        bounds.lower_bound_nguyen_wainwright_jordan(1 + ratios),
        bounds.donsker_varadhan(ratios),
        bounds.smile(ratios, clip=1.0),
        bounds.smile(ratios, clip=5.0),
        bounds.leave_one_out_upper_bound(ratios),
        bounds.club(ratios),
    ]
    expected = ORACLE[truth, size], SPREAD[truth, size]
    for value, mean, spread in zip(values, *expected, strict=True):
        # Both are means over at least about ten independent batches.
        assert np.mean(value) == pytest.approx(mean, abs=spread)
    # With the true baseline, TUBA is unbiased.
    spread = SPREAD[truth, size][1]
    assert np.mean(bounds.tuba(ratios)) == pytest.approx(truth, abs=spread)


def test_tuba_equals_nwj_and_interpolated_in_special_cases():
    logu = scores(6, 6)
    nwj = float(bounds.lower_bound_nguyen_wainwright_jordan(logu))
    assert float(bounds.tuba(logu, 1.0)) == pytest.approx(nwj, rel=1e-12)
    baseline = scores(6, seed=1)
    by_rows = float(bounds.tuba(logu, baseline))
    assert by_rows == pytest.approx(float(bounds.tuba(logu - baseline[:, None])))
    at_zero = float(bounds.interpolated(logu, 0.0, baseline))
    assert at_zero == pytest.approx(by_rows, rel=1e-12)


def test_interpolated_equals_its_definition():
    logu, baseline, alpha = scores(5, 5), scores(5, seed=1), 0.3
    joint, others = [], []
    for i in range(5):
        for j in range(5):
            if i == j:
                continue
            rest = [k for k in range(5) if k != j]
            mean = np.exp(logu[i, rest]).mean()
            joint.append(
                logu[i, i] - np.log(alpha * mean + (1 - alpha) * np.exp(baseline[i]))
            )
            rest = [k for k in range(5) if k != i]
            mean = np.exp(logu[i, rest]).mean()
            others.append(
                np.exp(logu[i, j]) / (alpha * mean + (1 - alpha) * np.exp(baseline[i]))
            )
    expected = 1 + np.mean(joint) - np.mean(others)
    value = float(bounds.interpolated(logu, alpha, baseline))
    assert value == pytest.approx(expected, rel=1e-12)
    # For alpha=1, it is InfoNCE with one independent pair left out of each set.
    nce = np.mean(
        [
            logu[i, i] - logsumexp(np.delete(logu[i], j)) + np.log(4)
            for i in range(5)
            for j in range(5)
            if i != j
        ]
    )
    assert float(bounds.interpolated(logu, 1.0)) == pytest.approx(nce, rel=1e-12)


def test_info_nce_is_at_most_log_m():
    logu = scores(8, 8) + 1e3 * np.eye(8)
    assert float(bounds.lower_bound_info_nce(logu)) == pytest.approx(np.log(8))


def test_mine_gradient_uses_the_moving_average():
    average = tf.Variable(-np.inf, dtype=tf.float64)
    batches = [scores(5, 5, seed=seed) for seed in range(3)]
    expected = None
    for logu in batches:
        tensor = tf.constant(logu)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            value = bounds.mine(tensor, average, decay=0.9)
        assert float(value) == pytest.approx(float(bounds.donsker_varadhan(logu)))
        off = ~np.eye(5, dtype=bool)
        mean = np.exp(logu[off]).mean()
        expected = mean if expected is None else 0.9 * expected + 0.1 * mean
        assert float(average) == pytest.approx(np.log(expected))
        gradient = np.where(off, -np.exp(logu) / 20 / expected, 1 / 5)
        np.testing.assert_allclose(tape.gradient(value, tensor), gradient, rtol=1e-9)


def test_values_from_true_densities_of_a_gaussian():
    rng = np.random.default_rng(0)
    x = rng.normal(size=100_000)
    y = 0.6 * x + 0.8 * rng.normal(size=x.size)

    def log_normal(gap, deviation):
        return -((gap / deviation) ** 2) / 2 - np.log(deviation * np.sqrt(2 * np.pi))

    conditional = log_normal(y - 0.6 * x, 0.8)
    truth = -np.log(0.8)
    entropy = np.log(2 * np.pi * np.e) / 2
    value = float(bounds.lower_bound_barber_agakov(conditional, entropy))
    assert value == pytest.approx(truth, abs=0.01)
    value = float(bounds.difference_of_entropies(conditional, log_normal(y, 1.0)))
    assert value == pytest.approx(truth, abs=0.01)


@pytest.mark.parametrize("name", BOUNDS)
def test_invalid_scores_raise(name):
    bound = BOUNDS[name]
    with pytest.raises(ValueError, match="matrix.*shape=\\(3,\\)"):
        bound(np.zeros(3))
    with pytest.raises(ValueError, match="N <= M.*\\(4, 3\\)"):
        bound(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="two columns.*\\(1, 1\\)"):
        bound(np.zeros((1, 1)))
    with pytest.raises(TypeError, match="int32"):
        bound(np.zeros((3, 3), "int32"))
    with pytest.raises(ValueError, match="NaN"):
        bound(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="one true entry per row.*\\[1, 2, 0\\]"):
        mask = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
        bound(np.zeros((3, 3)), joint_sample_mask=mask)
    with pytest.raises(ValueError, match="joint_sample_mask.shape=\\(2, 2\\)"):
        bound(np.zeros((3, 3)), joint_sample_mask=np.eye(2))


def test_validate_args_asserts_in_graph_mode():
    spec = [tf.TensorSpec([None, None], tf.float32)] * 2

    @tf.function(input_signature=spec)
    def bound(logu, mask):
        return bounds.donsker_varadhan(logu, mask, validate_args=True)

    assert float(bound(tf.zeros([2, 2]), tf.eye(2))) == 0.0
    with pytest.raises(tf.errors.InvalidArgumentError, match="one true entry per row"):
        bound(tf.zeros([2, 2]), tf.ones([2, 2]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="N <= M"):
        bound(tf.zeros([3, 2]), tf.constant([[1.0, 0.0]] * 3))


def test_other_invalid_arguments_raise():
    logu = scores(3, 3)
    for alpha in (-0.1, 1.5, True):
        with pytest.raises(ValueError, match="`alpha`"):
            bounds.interpolated(logu, alpha)
    for clip in (0.0, -1.0, True):
        with pytest.raises(ValueError, match="`clip`"):
            bounds.smile(logu, clip)
    with pytest.raises(ValueError, match="`decay`"):
        bounds.mine(logu, tf.Variable(0.0, dtype=tf.float64), decay=1.0)
    with pytest.raises(ValueError, match="`logu`.*single matrix"):
        bounds.mine(scores(2, 3, 3), tf.Variable(0.0, dtype=tf.float64))
    with pytest.raises(ValueError, match="`log_marginal`.*equal shapes"):
        bounds.difference_of_entropies([1.0], [1.0, 2.0])


def test_bounds_of_integers_raise():
    with pytest.raises(TypeError, match="`logu`.*float"):
        bounds.lower_bound_barber_agakov([-1, -2], 2.0)
    with pytest.raises(TypeError, match="`log_conditional`.*float"):
        bounds.difference_of_entropies([-1, -2], [-3.0, -3.0])
