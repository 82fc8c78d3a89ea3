"""Validation of the arguments and the learner of `MetaModel`."""

from __future__ import annotations

import keras
import pytest

import keras_metaloss as kml
from tests.helpers.meta_models import (
    classification_loss,
    conv_learner,
    dense_learner,
    image_episodes,
    line_episodes,
)


def test_unbuilt_learner_raises():
    learner = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="`learner`.*built.*keras.Input"):
        kml.MetaModel(learner, kml.adaptation.MAML())


def test_learner_that_is_not_a_model_raises():
    with pytest.raises(ValueError, match="`learner`.*Keras model.*learner='conv'"):
        kml.MetaModel("conv", kml.adaptation.MAML())


def test_adaptation_of_the_wrong_type_raises():
    with pytest.raises(ValueError, match="`adaptation`.*adaptation='maml'"):
        kml.MetaModel(dense_learner(), "maml")


def test_adaptation_of_another_model_raises():
    adaptation = kml.adaptation.MAML(1, 0.1)
    kml.MetaModel(dense_learner(), adaptation)
    with pytest.raises(ValueError, match="`adaptation`.*no other model uses"):
        kml.MetaModel(dense_learner(), adaptation)


def test_activity_regularizer_raises():
    layer = keras.layers.Dense(3, activity_regularizer=keras.regularizers.L2(0.1))
    learner = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten(), layer])
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss=classification_loss())
    with pytest.raises(ValueError, match="activity_regularizer"):
        model.fit(*image_episodes(), verbose=0)


@pytest.mark.parametrize("loss", ["mse", keras.losses.Huber()])
def test_regression_targets_of_another_shape_raise(loss):
    learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(8)])
    model = kml.MetaModel(learner, kml.adaptation.MAML())
    model.compile(loss=loss)
    with pytest.raises(
        ValueError, match="`support_y`.*match the loss.*different shapes"
    ):
        model.fit(*line_episodes())


def test_output_that_does_not_match_the_loss_raises():
    x, y = image_episodes()
    model = kml.MetaModel(conv_learner(), kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss=keras.losses.CategoricalCrossentropy())
    with pytest.raises(ValueError, match="match the loss and the output"):
        model.fit(x, y, verbose=0)


def test_missing_inner_loss_raises():
    x, _ = image_episodes()
    model = kml.MetaModel(conv_learner(), kml.adaptation.MAML(1, 0.1))
    with pytest.raises(ValueError, match="compile"):
        model(x)
