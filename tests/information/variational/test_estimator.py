"""Trained estimators: values, saving and invalid arguments."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.information.variational.estimator import _BOUNDS
from tests.helpers import truths

Estimator = kml.information.MutualInformationEstimator


Separable = kml.information.SeparableCritic


Concat = kml.information.ConcatCritic


@pytest.mark.parametrize("bound", _BOUNDS)
def test_training_increases_every_bound(bound):
    x, y, truth = truths.gaussian(1, 0.9, size=1500)
    estimator = Estimator(bound, Concat([16]), keras.optimizers.Adam(0.01))
    history = estimator.fit(x, y, epochs=6, verbose=0, batch_size=50)
    values = history.history["val_mutual_information"]
    assert values[0] < max(values)
    assert 0.5 * truth < estimator.mutual_information < 1.4 * truth


def test_independent_samples_give_almost_zero():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 1000, 3))
    estimator = Estimator("info_nce", Separable([16]))
    estimator.fit(x, y, epochs=5, patience=2, verbose=0)
    assert estimator.mutual_information < 0.05


@pytest.mark.slow
def test_gaussian_in_five_dimensions():
    x, y, truth = truths.gaussian(5, 0.6)
    estimator = Estimator("info_nce", optimizer=keras.optimizers.Adam(1e-3))
    estimator.fit(x, y, epochs=30, patience=5, verbose=0)
    assert estimator.mutual_information == pytest.approx(truth, abs=0.15)


def test_early_stopping_and_evaluation_on_test_samples():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60, 20))  # Independent: training can only overfit.
    estimator = Estimator("donsker_varadhan", optimizer=keras.optimizers.Adam(0.01))
    history = estimator.fit(x, y, epochs=100, patience=2, verbose=0).history
    assert len(history["loss"]) < 100
    assert history["mutual_information"][-1] > 0.5
    assert estimator.mutual_information < 0.2


def test_equal_seeds_give_equal_values():
    x, y, _ = truths.gaussian(1, 0.9, size=300)
    values = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        estimator = Estimator("smile", Separable([8]))
        estimator.fit(x, y, epochs=2, verbose=0)
        values.append(estimator.mutual_information)
    assert values[0] == values[1]


@pytest.mark.parametrize("bound", ["info_nce", "mine"])
def test_saved_model_round_trip(bound, tmp_path):
    x, y, _ = truths.gaussian(2, 0.9, size=300)
    estimator = Estimator(bound, Concat([8]))
    estimator.fit(x, y, epochs=2, verbose=0)
    estimator.model.save(tmp_path / "critic.keras")
    loaded = keras.models.load_model(tmp_path / "critic.keras")
    pair = [tf.constant(v[:5], tf.float32) for v in (x, y)]
    np.testing.assert_array_equal(loaded(pair), estimator.model(pair))
    if bound == "mine":
        average = float(estimator.model.log_moving_mean)
        assert float(loaded.log_moving_mean) == average != -np.inf


def test_estimator_config_round_trip():
    estimator = Estimator("tuba", Concat([8]), keras.optimizers.SGD(0.1))
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(estimator)
    )
    assert copy.get_config() == estimator.get_config()


def test_integer_labels_and_images_are_accepted():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, size=200)
    images = rng.normal(size=(200, 4, 4, 1)) + labels[:, None, None, None]
    estimator = Estimator(critic=Separable([8]))
    estimator.fit(labels, images, epochs=2, verbose=0, batch_size=32)
    assert np.isfinite(estimator.mutual_information)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("club",), "`bound`.*'club'"),
        (("mine", "mlp"), "`critic`.*'mlp'"),
        (("mine", 3), "`critic`.*3"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        Estimator(*arguments)
    with pytest.raises(ValueError, match="`hidden_units`"):
        Concat([])
    with pytest.raises(ValueError, match="`hidden_units`.*0"):
        Separable([0])


@pytest.mark.parametrize(
    ("x", "changes", "message"),
    [
        (np.zeros(30), {}, "same number of samples.*\\(30, 1\\).*\\(40, 1\\)"),
        (np.zeros(10), {}, "at least 20.*\\(10,\\)"),
        (np.full(40, np.nan), {}, "`x`.*finite"),
        (np.array(["a"] * 40), {}, "`x`.*numeric array"),
        (np.zeros(40), {"validation_split": 0.9}, "validation_split=0.9"),
        (np.zeros(40), {"test_split": True}, "test_split=True"),
        (np.zeros(40), {"epochs": 0}, "`epochs`.*0"),
        (np.zeros(40), {"batch_size": True}, "`batch_size`.*True"),
    ],
)
def test_invalid_data_raise(x, changes, message):
    with pytest.raises(ValueError, match=message):
        Estimator().fit(x, np.zeros(40), verbose=0, **changes)
