"""Validation of the data that `MetaModel` receives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import conv_model, image_episodes


class OneBatch(keras.utils.PyDataset):
    """A `keras.utils.PyDataset` with one batch of episodes."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


def changed(**entries):
    x, y = image_episodes()
    y = entries.pop("y", y)
    return {**x, **entries}, y


@pytest.mark.parametrize(
    ("episodes", "message"),
    [
        (changed(support_y=np.zeros((3, 5), "int32")), "`support_y` and `support_x`"),
        (changed(y=np.zeros((3, 4), "int32")), "`query_y` and `query_x`"),
        (changed(query_x=np.zeros((2, 9, 6, 6, 2), "float32")), "tasks"),
        (changed(query_x=np.full((3, 9, 6, 6, 2), np.nan, "float32")), "NaN"),
        (changed(support_y=np.full((3, 6), 3)), "`support_y`.*match the loss.*3 to 3"),
        (changed(y=np.full((3, 9), -1)), "`query_y`.*match the loss.*-1 to -1"),
        (changed(y=np.outer([0, 0, 7], [1] * 9)), "`query_y`.*match the loss.*0 to 7"),
        (changed(query_mask=np.ones((3, 1), bool)), "`query_mask`.*first two axes"),
        (
            changed(support_mask=np.zeros((3, 6), bool)),
            "`support_mask`.*at least 1 example",
        ),
        (changed(question=np.zeros(3)), "keys.*question"),
    ],
)
@pytest.mark.parametrize("source", ["arrays", "dataset", "PyDataset"])
def test_invalid_episodes_raise(episodes, message, source):
    data = {
        "arrays": lambda: episodes,
        "dataset": lambda: (tf.data.Dataset.from_tensors(episodes),),
        "PyDataset": lambda: (OneBatch(episodes),),
    }[source]()
    with pytest.raises(ValueError, match=message):
        conv_model().fit(*data, verbose=0)


def test_invalid_validation_data_raises():
    with pytest.raises(ValueError, match="NaN"):
        conv_model().fit(
            *image_episodes(),
            validation_data=changed(
                query_x=np.full((3, 9, 6, 6, 2), np.nan, "float32")
            ),
            verbose=0,
        )


def test_infinite_dataset_without_steps_raises():
    x = np.zeros((60, 6, 6, 2), "float32")
    y = np.repeat(np.arange(6), 10)
    sampler = kml.tasks.EpisodeSampler(x, y, ways=3, shots=2, queries=3)
    model = conv_model()
    with pytest.raises(ValueError, match=r"`x`.*x.dataset\(tasks_per_batch\)"):
        model.fit(sampler)
    with pytest.raises(ValueError, match="`steps_per_epoch`.*infinite"):
        model.fit(sampler.dataset(2))
    with pytest.raises(ValueError, match="`steps`.*infinite"):
        model.evaluate(sampler.dataset(2))


def test_infinite_validation_data_without_steps_raises():
    sampler = kml.tasks.EpisodeSampler(
        np.zeros((12, 6, 6, 2), "float32"), np.repeat(range(3), 4), 3, 1, 2
    )
    model = conv_model()
    with pytest.raises(ValueError, match="`validation_steps`.*`validation_data`"):
        model.fit(*image_episodes(), validation_data=sampler.dataset(2))
    with pytest.raises(ValueError, match="`validation_data`.*dataset"):
        model.fit(*image_episodes(), validation_data=sampler)
    with pytest.raises(ValueError, match="`steps`"):
        model.predict(sampler.dataset(2))


def test_class_weight_raises():
    with pytest.raises(ValueError, match="class_weight={0: 1.0, 1: 2.0}"):
        conv_model().fit(*image_episodes(), class_weight={0: 1.0, 1: 2.0})


def test_missing_episode_entry_raises():
    x, y = image_episodes()
    x.pop("query_x")
    with pytest.raises(ValueError, match="keys.*query_x"):
        conv_model().fit(x, y, verbose=0)


def test_plain_batch_instead_of_an_episode_raises():
    x, y = image_episodes()
    with pytest.raises(ValueError, match="[Ee]xpected an episode"):
        conv_model().fit(x["query_x"], y, verbose=0)
