"""Tests of `JointDistributionPlot` and `joint_density`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp
from PIL import Image

import keras_metaloss as kml
from tests.helpers.joint_models import data, joint_model

tfd = tfp.distributions


@pytest.mark.parametrize("kinds", [("logits", "value"), ("value", "normal")])
def test_plots_and_history_over_epochs(kinds, tmp_path):
    x, y = data(*kinds)
    model = joint_model(*kinds)
    picture = kml.callbacks.JointDistributionPlot(tmp_path / "p{epoch}.png", x, every=2)
    model.fit(x, y, epochs=4, callbacks=[picture], verbose=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p2.png", "p4.png"]
    with Image.open(tmp_path / "p4.png") as image:
        assert np.asarray(image.convert("L")).std() > 10
    assert picture.history["epoch"] == [0, 2, 4]
    logs = model.evaluate(x, y, batch_size=24, verbose=0, return_dict=True)
    assert picture.history["mutual_information"][-1] == pytest.approx(
        logs["mutual_information"], abs=1e-5
    )


def test_unsupported_models_and_arguments_raise():
    x, y = data("logits", "vector")
    picture = kml.callbacks.JointDistributionPlot("p.png", x)
    with pytest.raises(ValueError, match="for vectors"):
        joint_model("logits", "vector").fit(x, y, callbacks=[picture], verbose=0)
    picture = kml.callbacks.JointDistributionPlot("p.png", x, pair=("a", "z"))
    with pytest.raises(ValueError, match="`pair`"):
        joint_model().fit(*data("logits", "value"), callbacks=[picture], verbose=0)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    plain.compile(loss="mse")
    with pytest.raises(ValueError, match="`pair`"):
        picture = kml.callbacks.JointDistributionPlot("p.png", x)
        plain.fit(x, x[:, :1], callbacks=[picture], verbose=0)
    with pytest.raises(ValueError, match="`every`"):
        kml.callbacks.JointDistributionPlot("p.png", x, every=0)


@pytest.mark.parametrize(
    "b",
    [
        tfd.Laplace([-1.0, 1.0, 5.0], [1e-4, 1e-4, 1.0]),
        tfd.Normal([-1.0, 1.0, -1.0], [1e-4, 1e-3, 1e-4]),
    ],
    ids=["laplace", "equal rows"],
)
def test_joint_density_of_narrow_components(b):
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]])
    found = kml.information.joint_density(a, b)
    assert np.isfinite(found.density).all() and (np.diff(found.b) >= 0).all()
    mass = np.trapezoid(found.density, found.b, axis=1)
    np.testing.assert_allclose(mass, a.probs.numpy().mean(axis=0), atol=0.03)


def test_joint_density_matches_definition():
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.3, 0.7]])
    b = tfd.LogNormal([0.0, 1.0], [0.5, 0.3])
    found = kml.information.joint_density(a, b)
    density = b.prob(found.b[:, np.newaxis]).numpy()
    expected = a.probs.numpy().T @ density.T / 2
    np.testing.assert_allclose(found.density, expected, atol=1e-4)
    assert found.a.tolist() == [0, 1]
    middle = (found.density[:, 1:] + found.density[:, :-1]) / 2
    mass = (middle * np.diff(found.b)).sum(axis=1)
    np.testing.assert_allclose(mass, [0.6, 0.4], atol=1e-3)
