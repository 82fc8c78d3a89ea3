"""Outputs of functional and subclassed multi-task networks."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.multi_task_models import (
    TwoHeads,
    all_variables,
    batch,
    losses,
    network,
)
from tests.helpers.training import step_logs

W = kml.losses.weighting


@pytest.mark.parametrize("named", [False, True])
def test_subclassed_model(named, tmp_path):
    x, y = batch()
    targets = {"a": y["size"], "b": y["sign"]}
    net = TwoHeads()
    net(x)
    shared = net.trunk.trainable_variables if named else None
    model = kml.MultiTaskModel(net, W.PCGrad(), shared=shared)
    model.compile("adam", {"a": "mse", "b": "mse"})
    model.fit(x, targets, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert step_logs(model, x, targets) == step_logs(loaded, x, targets)
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_functional_model_with_a_list_of_outputs():
    x, y = batch()
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5)(inputs)
    net = keras.Model(
        inputs,
        [
            keras.layers.Dense(1, name="size")(hidden),
            keras.layers.Dense(3, name="kind")(hidden),
        ],
    )
    model = kml.MultiTaskModel(net, W.IMTL())
    model.compile("sgd", {"kind": losses()["kind"], "size": "mse"})
    ones = np.ones(12)
    as_list = model.test_on_batch(
        x, [y["size"], y["kind"]], sample_weight=[ones, 0 * ones], return_dict=True
    )
    as_dict = model.test_on_batch(
        x,
        {"size": y["size"], "kind": y["kind"]},
        sample_weight={"size": ones, "kind": 0 * ones},
        return_dict=True,
    )
    assert as_list == as_dict
    assert as_dict["kind_loss"] == 0.0 and as_dict["size_loss"] > 0
    assert sorted(model.predict(x, verbose=0)) == ["kind", "size"]


def test_output_without_a_loss_is_not_a_task():
    x, y = batch()
    model = kml.MultiTaskModel(network(), W.MGDA())
    model.compile("sgd", {"kind": losses()["kind"], "size": "mse", "sign": None})
    head = model.model.get_layer("sign_head").get_weights()
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        logs = model.train_on_batch(
            x, {"kind": y["kind"], "size": y["size"]}, return_dict=True
        )
    assert model.weighting.tasks == ("kind", "size") and "sign_loss" not in logs
    for a, b in zip(
        head, model.model.get_layer("sign_head").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)
