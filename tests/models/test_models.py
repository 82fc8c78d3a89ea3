"""All models support the common Keras workflows."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers import joint_models, multi_task_models
from tests.helpers.meta_models import dense_learner, line_episodes


def meta():
    model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss="mse")
    return model, *line_episodes()


def joint():
    x, y = joint_models.data("value", "vector")
    model = kml.JointModel(joint_models.network(1), joint_models.network(2))
    loss = kml.losses.MutualInformationLoss("mse", "mse", beta=0.0)
    model.compile(optimizer="sgd", loss=loss)
    return model, x, y


def multi_task():
    model = kml.MultiTaskModel(multi_task_models.network())
    model.compile(optimizer="sgd", loss=multi_task_models.losses())
    return model, *multi_task_models.batch()


def adaptive():
    model = kml.AdaptiveLossModel(dense_learner())
    model.compile(optimizer="sgd", loss=kml.losses.AdaptiveRobustLoss())
    return model, *np.random.default_rng(0).normal(size=(2, 8, 1))


MODELS = [meta, joint, multi_task, adaptive]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_positional_arguments_work_as_in_keras(make):
    model, x, y = make()
    seen = []
    counter = keras.callbacks.LambdaCallback(on_epoch_end=lambda *a: seen.append(a))
    history = model.fit(x, y, 2, 3, 0, [counter])
    assert len(seen) == len(history.history["loss"]) == 3
    assert np.all(np.isfinite(model.evaluate(x, y, 2, 0)))
    predicted = keras.tree.flatten(model.predict(x, 2, 0))[0]
    assert len(predicted) == len(keras.tree.flatten(y)[0])


@pytest.mark.parametrize("name", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("cls", [kml.MetaModel, kml.JointModel, kml.MultiTaskModel])
def test_names_and_defaults_match_keras(cls, name):
    ours, theirs = (
        inspect.signature(getattr(c, name)).parameters for c in (cls, keras.Model)
    )
    named = [p for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    for own, other in zip(named, theirs.values(), strict=False):
        assert (own.name, own.default) == (other.name, other.default)


def embedding_network(units=1):
    """Returns a network that embeds integer IDs."""
    inputs = keras.Input((1,))
    found = keras.layers.Flatten()(keras.layers.Embedding(4100, 4)(inputs))
    return keras.Model(inputs, keras.layers.Dense(units, dtype="float32")(found))


@pytest.mark.parametrize(
    "wrap",
    [
        kml.AdaptiveLossModel,
        lambda network: kml.MultiTaskModel(
            keras.Model(network.input, {"a": network.output, "b": network.output})
        ),
        lambda network: kml.JointModel(network, embedding_network()),
    ],
    ids=["adaptive", "multi_task", "joint"],
)
@pytest.mark.parametrize(
    "dtype_policy", ["mixed_bfloat16", "mixed_float16"], indirect=True
)
@pytest.mark.usefixtures("dtype_policy")
def test_integer_ids_are_not_rounded(wrap):
    network = embedding_network()
    x = np.array([[4001.0], [4003.0]], "float32")
    wrapped = keras.tree.flatten(wrap(network).predict(x, verbose=0))[0]
    np.testing.assert_array_equal(wrapped, network.predict(x, verbose=0))


def frozen(name):
    if name == "meta":
        model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1))
        loss, data = "mse", line_episodes()
    elif name == "joint":
        model = kml.JointModel(joint_models.network(1), joint_models.network(2))
        loss = kml.losses.MutualInformationLoss("mse", "mse", beta=0.0)
        data = joint_models.data("value", "vector")
    else:
        model = kml.MultiTaskModel(multi_task_models.network())
        loss, data = multi_task_models.losses(), multi_task_models.batch()
    model.trainable = False
    model.compile("sgd", loss)
    return model, *data


@pytest.mark.parametrize("name", ["meta", "joint", "multi_task"])
def test_frozen_model_warns_and_keeps_its_weights(name):
    model, x, y = frozen(name)
    before = [w for w in model.get_weights() if w.ndim == 2]
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        history = model.fit(x, y, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    after = [w for w in model.get_weights() if w.ndim == 2]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
