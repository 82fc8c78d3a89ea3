"""Tests for every loss: config, reductions, weights, masks, gradients and dtypes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.losses import CASES, TRAINS

pytestmark = pytest.mark.parametrize("name", CASES)


@pytest.fixture
def case(name):
    return CASES[name]


@pytest.fixture
def batch(case):
    return case.data(np.random.default_rng(0))


def tensors(batch, dtype="float64"):
    y_true, y_pred = batch
    if y_true.dtype.kind == "f":
        y_true = y_true.astype(dtype)
    return tf.constant(y_true), tf.constant(y_pred.astype(dtype))


def value_and_gradient(loss, y_true, y_pred):
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(y_true, y_pred, context=TRAINS)
    return value, tape.gradient(value, y_pred)


def test_config_round_trip(case, batch):
    loss = case.make(name="mine", reduction="sum", dtype="float64")
    config = loss.get_config()
    copy = type(loss).from_config(config)
    assert copy.get_config() == config
    assert (copy.name, copy.reduction, copy.dtype) == ("mine", "sum", "float64")
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert float(again(*tensors(batch))) == float(loss(*tensors(batch)))


def test_every_reduction_without_sample_weight(case, batch):
    values = case.reference(*batch)
    expected = {
        None: values,
        "none": values,
        "sum": values.sum(),
        "sum_over_batch_size": values.mean(),
        "mean": values.mean(),
        "mean_with_sample_weight": values.mean(),
    }
    for reduction, value in expected.items():
        loss = case.make(reduction=reduction, dtype="float64")
        np.testing.assert_allclose(
            *(loss(*tensors(batch)), value), rtol=1e-10, atol=1e-14, err_msg=reduction
        )


def test_function_matches_reference(case, batch):
    if case.function is None:
        pytest.skip("only loss objects have a learned gamma")
    values = case.function(*tensors(batch))
    np.testing.assert_allclose(values, case.reference(*batch), rtol=1e-10, atol=1e-14)
    y_true, y_pred = batch
    as_lists = case.function(y_true.tolist(), y_pred.tolist())
    assert as_lists.dtype == "float32"
    np.testing.assert_allclose(as_lists, values, rtol=1e-4, atol=1e-5)


def test_every_reduction_with_sample_weight(case, batch):
    values = case.reference(*batch)
    random = np.random.default_rng(1)
    weights = {
        "scalar": np.array(2.3),
        "sample": random.random((len(values), *[1] * (values.ndim - 1))),
        "each value": random.random(values.shape),
    }
    for kind, weight in weights.items():
        for reduction in (None, "sum", "mean", "mean_with_sample_weight"):
            weighted = expected = weight * values
            if reduction == "sum":
                expected = weighted.sum()
            elif reduction == "mean":
                expected = weighted.mean()
            elif reduction == "mean_with_sample_weight":
                expected = weighted.sum() / weight.sum()
            loss = case.make(reduction=reduction, dtype="float64")
            np.testing.assert_allclose(
                loss(*tensors(batch), sample_weight=weight),
                expected,
                rtol=1e-10,
                atol=1e-14,
                err_msg=f"{kind} weight, reduction={reduction}",
            )


def test_zero_sample_weight(case, batch):
    value, gradient = value_and_gradient(
        lambda *pair, **context: case.make(dtype="float64")(
            *pair, sample_weight=0.0, **context
        ),
        *tensors(batch),
    )
    assert float(value) == 0.0
    assert not np.asarray(gradient).any()


def test_keras_mask_excludes_values(case, batch):
    expected = case.reference(*batch)
    if expected.ndim != 2:
        pytest.skip("no time axis")
    mask = np.ones(expected.shape, bool)
    mask[0, 1:] = mask[3] = False
    y_true, y_pred = tensors(batch)
    y_pred._keras_mask = tf.constant(mask)
    value = case.make(dtype="float64")(y_true, y_pred)
    # Equal to the loss without the masked values, including means over the batch.
    expected = case.reference(*(values[mask] for values in batch)).mean()
    assert float(value) == pytest.approx(expected, rel=1e-10)


def test_gradient_matches_finite_differences(case, batch):
    loss = case.make(dtype="float64")
    y_true, y_pred = batch
    gradient = value_and_gradient(loss, *tensors(batch))[1].numpy()
    value = case.frozen or (lambda *_: lambda z: float(loss(*tensors((y_true, z)))))
    value = value(y_true, y_pred)
    random = np.random.default_rng(2)
    for _ in range(4):
        direction = random.normal(size=y_pred.shape)
        step = 1e-6 * direction
        numeric = (value(y_pred + step) - value(y_pred - step)) / 2e-6
        assert (gradient * direction).sum() == pytest.approx(
            numeric, rel=1e-6, abs=1e-8
        )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla_match_eager(case, batch, jit_compile):
    loss = case.make()
    value, gradient = value_and_gradient(loss, *tensors(batch, "float32"))
    compiled = tf.function(
        lambda *pair: value_and_gradient(loss, *pair), jit_compile=jit_compile
    )
    again, again_gradient = compiled(*tensors(batch, "float32"))
    assert float(again) == pytest.approx(float(value), rel=2e-5)
    np.testing.assert_allclose(again_gradient, gradient, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("dtype", "rel"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_float32_and_bfloat16(case, batch, dtype, rel):
    loss = case.make(dtype=dtype)
    y_true, y_pred = batch
    rounded = tf.cast(tf.constant(y_pred), dtype)
    value, gradient = value_and_gradient(loss, tensors(batch, dtype)[0], rounded)
    expected = case.reference(y_true, np.asarray(tf.cast(rounded, tf.float64))).mean()
    assert value.dtype == gradient.dtype == dtype
    assert float(value) == pytest.approx(expected, rel=rel)
    assert np.isfinite(np.asarray(tf.cast(gradient, tf.float32))).all()


def test_unknown_batch_size(case, batch):
    loss = case.make(dtype="float64")
    y_true, y_pred = tensors(batch)
    open_batch = [
        tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in (y_true, y_pred)
    ]
    compiled = tf.function(loss, input_signature=open_batch)
    assert float(compiled(y_true, y_pred)) == pytest.approx(
        float(loss(y_true, y_pred)), rel=1e-12
    )
