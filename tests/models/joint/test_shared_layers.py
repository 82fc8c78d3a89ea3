"""Joint models whose networks share layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.joint_models import CROSS_ENTROPY, data, network
from tests.helpers.training import step_logs

Loss = kml.losses.MutualInformationLoss


def shared_trunk():
    trunk = keras.layers.Dense(8, "tanh", name="trunk")

    def head(units):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(units)(trunk(inputs)))

    return head(3), head(1)


def shared_sequential():
    trunk = keras.layers.Dense(8, "tanh")
    first = keras.Sequential([keras.Input((4,)), trunk, keras.layers.Dense(3)])
    second = keras.Sequential([keras.Input((4,)), trunk, keras.layers.Dense(1)])
    return first, second


def shared_backbone():
    """The backbone is a model inside both networks, once after another layer."""
    backbone = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(5)],
        name="backbone",
    )
    inputs = keras.Input((4,))
    first = keras.Model(inputs, keras.layers.Dense(3)(backbone(inputs)))
    inputs = keras.Input((4,))
    centered = keras.layers.Dense(4, use_bias=False)(inputs)
    second = keras.Model(inputs, keras.layers.Dense(1)(backbone(centered)))
    return first, second


NETWORKS = {
    "functional": (shared_trunk, 6),
    "sequential": (shared_sequential, 6),
    "backbone": (shared_backbone, 9),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_shared_layers_stay_shared(kind, tmp_path):
    make, count = NETWORKS[kind]
    x, y = data("logits", "value")
    model = kml.JointModel(*make())
    model.compile("adam", Loss(CROSS_ENTROPY, "mse", beta=0.1))
    model.fit(x, y, verbose=0)
    assert len(model.trainable_weights) == count
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    expected = model.predict(x, verbose=0)
    for other in (loaded, clone):
        assert len(other.trainable_weights) == count
        found = other.predict(x, verbose=0)
        for name, outputs in expected.items():
            np.testing.assert_allclose(found[name], outputs, atol=1e-6)
    for _ in range(2):
        assert step_logs(model, x, y) == step_logs(loaded, x, y)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_network_for_two_views(tmp_path):
    net = network(3)
    model = kml.JointModel(net, net)
    model.compile("sgd", Loss(CROSS_ENTROPY, CROSS_ENTROPY))
    x, y = data("logits")
    views = {"a": x, "b": x + 0.1}
    model.fit(views, {"a": y["a"], "b": y["a"]}, verbose=0)
    assert len(model.trainable_weights) == 4
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.networks["a"] is loaded.networks["b"]
    assert len(loaded.trainable_weights) == 4
    np.testing.assert_allclose(
        loaded.predict(views, verbose=0)["b"], net.predict(x + 0.1, verbose=0)
    )


def test_files_without_shared_layers_load():
    model = kml.JointModel(network(3), network(1))
    config = model.get_config()
    assert config.pop("shared_layers") == []
    assert len(kml.JointModel.from_config(config).weights) == len(model.weights)


def test_custom_models_that_share_layers_cannot_be_saved(tmp_path):
    class Custom(keras.Model):
        def __init__(self, trunk, units):
            super().__init__()
            self.trunk, self.head = trunk, keras.layers.Dense(units)

        def call(self, inputs):
            return self.head(self.trunk(inputs))

    x, _ = data("logits")
    trunk = keras.layers.Dense(8)
    networks = Custom(trunk, 3), Custom(trunk, 1)
    for net in networks:
        net(x)
    model = kml.JointModel(*networks)
    with pytest.raises(ValueError, match="`save_weights`.*'a'.*Custom.*dense"):
        model.get_config()
