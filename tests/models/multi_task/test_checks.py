"""Validation of the arguments and the first batch of `MultiTaskModel`."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.multi_task_models import TwoHeads, batch, losses, network

W = kml.losses.weighting


def compiled(loss, net=None, **arguments):
    model = kml.MultiTaskModel(network() if net is None else net, W.PCGrad())
    model.compile("sgd", loss, **arguments)
    return model


def one_output():
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(1)(x))


def nothing_shared():
    x = keras.Input((4,))
    return keras.Model(
        x, {"a": keras.layers.Dense(1)(x), "b": keras.layers.Dense(1)(x)}
    )


def outputs_named(*names):
    x = keras.Input((4,))
    return keras.Model(x, {name: keras.layers.Dense(1)(x) for name in names})


def same_layer_twice():
    x, layer = keras.Input((4,)), keras.layers.Dense(1)
    return keras.Model(x, [layer(x), layer(2 * x)])


def used():
    weighting = W.PCGrad()
    kml.MultiTaskModel(network(), weighting).compile("sgd", losses())
    return kml.MultiTaskModel(network(), weighting)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: compiled("mse"), "`loss`.*dictionary.*loss='mse'"),
        (lambda: compiled(["mse"] * 3), "`loss`.*dictionary"),
        (lambda: compiled(None), "`loss`.*dictionary.*loss=None"),
        (lambda: compiled({"kind": "mse", "color": "mse"}), "unknown names.*color"),
        (lambda: compiled({"kind": "mse"}), "`loss`.*at least two"),
        (lambda: compiled({**losses(), "kind": 3}), "`loss`.*loss=3"),
        (
            lambda: compiled(losses(), loss_weights={"kind": 2.0}),
            "`loss_weights`.*FixedWeighting",
        ),
        (lambda: kml.MultiTaskModel(one_output()), "several named outputs"),
        (
            lambda: kml.MultiTaskModel(
                keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            ),
            "several named outputs",
        ),
        (lambda: kml.MultiTaskModel(outputs_named(0, 1)), r"`model`.*strings.*\(0, 1"),
        (lambda: kml.MultiTaskModel(same_layer_twice()), "`model`.*different.*'first'"),
        (lambda: kml.MultiTaskModel("net"), "`model`.*built Keras model"),
        (lambda: kml.MultiTaskModel(TwoHeads()), "`model`.*built Keras model"),
        (lambda: kml.MultiTaskModel(network(), "pcgrad"), "`weighting`.*'pcgrad'"),
        (used, "`weighting`.*new object"),
        (
            lambda: kml.MultiTaskModel(network(), shared=["stem"]),
            "`shared`.*trunk.*'stem'",
        ),
        (lambda: kml.MultiTaskModel(network(), shared="trunk"), "`shared`.*list"),
        (
            lambda: kml.MultiTaskModel(network(), shared=network().weights),
            "`shared`.*variables of the model",
        ),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_invalid_first_batch_raises():
    x, y = batch()
    targets = {"a": y["size"], "b": y["sign"]}
    mse = {"a": "mse", "b": "mse"}
    with pytest.raises(ValueError, match="at least two tasks share.*Received: none"):
        compiled(mse, nothing_shared()).train_on_batch(x, targets)
    with pytest.raises(ValueError, match="`y`.*each task.*without.*'sign'"):
        y_less = {k: v for k, v in y.items() if k != "sign"}
        compiled(losses()).train_on_batch(x, y_less)
    with pytest.raises(ValueError, match="`y`. Expected a dictionary by output name"):
        compiled(losses()).train_on_batch(x, [y["kind"], y["size"], y["sign"]])
    net = TwoHeads()
    net(x)
    with pytest.raises(ValueError, match="`outputs`.*without.*'c'"):
        compiled({**mse, "c": "mse"}, net).train_on_batch(
            x, {**targets, "c": y["size"]}
        )
    vector = {**losses(), "size": keras.losses.MeanSquaredError(reduction=None)}
    with pytest.raises(
        ValueError, match="`loss`.*scalar for task 'size'.*reduction='?None"
    ):
        compiled(vector).train_on_batch(x, y)
    model = kml.MultiTaskModel(network(), W.PCGrad(), shared=["sign_head"])
    model.compile("sgd", {**losses(), "sign": None})
    del y["sign"]
    with pytest.raises(ValueError, match="named in `shared`"):
        model.train_on_batch(x, y)


def fitted(x=None, y=None):
    first_x, first_y = batch()
    x = first_x if x is None else x
    return compiled(losses()).fit(x, {**first_y, **(y or {})}, verbose=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fitted(y={"color": np.zeros(12)}), "`y`.*outputs.*unknown.*'color'"),
        (lambda: fitted(y={"size": np.zeros((12, 3))}), r"`y`.*\(12, 3\).*\(12, 1\)"),
        (lambda: fitted(y={"kind": np.full(12, 7)}), "`y.'kind'.`.*less than 3"),
        (lambda: fitted(y={"kind": np.full(12, 0.5)}), "`y.'kind'.`.*integer labels"),
        (lambda: fitted(y={"size": np.full((12, 1), np.inf)}), "`y.'size'.`.*NaN if"),
        (lambda: fitted(np.full((12, 4), np.nan, "float32")), "`x`.*finite"),
    ],
)
def test_fit_validates_the_first_examples(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_inputs_that_the_model_replaces_may_be_nan():
    x, y = batch()
    x[::2] = np.nan
    inputs = keras.Input((4,))
    filled = keras.layers.Lambda(keras.ops.nan_to_num)(inputs)
    model = compiled(losses(), keras.Model(inputs, network()(filled)))
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()


def test_predictions_must_be_finite():
    x, y = batch()
    model = compiled(losses())
    model.model.get_layer("trunk").kernel.assign(np.full((4, 6), np.nan))
    with pytest.raises(ValueError, match="`model`.*finite predictions"):
        model.fit(x, y, verbose=0)


def test_loss_with_trainable_parameters_raises():
    focal = kml.losses.SparseCategoricalFocalLoss("learned", from_logits=True)
    model = kml.MultiTaskModel(network(), kml.losses.weighting.PCGrad())
    with pytest.raises(ValueError, match="`loss`.*MultiTaskModel.*raw_gamma"):
        model.compile(loss={**losses(), "kind": focal})
