"""`EpisodeSampler`: episodes, determinism and errors."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

Sampler = kml.tasks.EpisodeSampler


def numbered(classes=10, size=8):
    """Returns examples `(class, index within the class)` and integer labels."""
    y = np.repeat(np.arange(classes) * 3 + 5, size)
    x = np.stack(
        [np.repeat(np.arange(classes), size), np.tile(np.arange(size), classes)], 1
    )
    return x.astype("float32"), y


def sampler(**changes):
    settings = {"ways": 5, "shots": 2, "queries": 3, "seed": 0, **changes}
    return Sampler(*numbered(), **settings)


def test_shapes_and_dtypes():
    x, y = sampler().batch(0, tasks_per_batch=4)
    assert x["support_x"].shape == (4, 10, 2) and x["support_x"].dtype == np.float32
    assert x["support_y"].shape == (4, 10) and x["support_y"].dtype == np.int32
    assert x["query_x"].shape == (4, 15, 2) and y.shape == (4, 15)
    assert set(x) == {"support_x", "support_y", "query_x"}


def test_uint8_images_stay_uint8():
    images = np.zeros((20, 4, 4, 1), np.uint8)
    episodes = Sampler(images, np.repeat(np.arange(4), 5), ways=2, shots=1, queries=2)
    assert episodes.episode(0)[0]["support_x"].dtype == np.uint8


def test_labels_match_classes_and_no_example_repeats():
    for index in range(50):
        x, y = sampler().episode(index)
        examples = np.concatenate([x["support_x"], x["query_x"]])
        labels = np.concatenate([x["support_y"], y])
        assert len(np.unique(examples, axis=0)) == len(examples)
        pairs = np.unique(np.stack([examples[:, 0], labels], 1), axis=0)
        assert len(pairs) == 5
        np.testing.assert_array_equal(np.bincount(x["support_y"]), [2] * 5)
        np.testing.assert_array_equal(np.bincount(y), [3] * 5)


def test_classes_and_labels_are_uniformly_distributed():
    counts = np.zeros((10, 5))
    for index in range(2000):
        x, _ = sampler().episode(index)
        for example, label in zip(
            x["support_x"][::2], x["support_y"][::2], strict=True
        ):
            counts[int(example[0]), label] += 1
    expected = counts.sum() / counts.size
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # The 99.9 % quantile of the chi-squared distribution with 49 degrees of freedom.
    assert chi_square < 85.4


def equal(first, second):
    a, b = tf.nest.flatten(first), tf.nest.flatten(second)
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


def test_episode_depends_only_on_seed_and_index():
    episodes = sampler(seed=3)
    late = episodes.episode(7)
    episodes.episode(2)
    assert equal(late, sampler(seed=3).episode(7))
    assert not equal(late, sampler(seed=4).episode(7))
    assert not equal(late, episodes.episode(8))
    batch_x, batch_y = episodes.batch(1, tasks_per_batch=4)
    inside = {k: v[3] for k, v in batch_x.items()}, batch_y[3]
    assert equal(late, inside)


def test_dataset_contains_the_batches_in_order():
    episodes = sampler()
    batches = list(episodes.dataset(3, batches=6).as_numpy_iterator())
    assert len(batches) == 6
    assert all(equal(b, episodes.batch(i, 3)) for i, b in enumerate(batches))
    later = next(iter(episodes.dataset(3, first_batch=4).as_numpy_iterator()))
    assert equal(later, batches[4])


def test_dataset_has_static_shapes_and_known_length():
    data = sampler().dataset(3, batches=6)
    assert int(data.cardinality()) == 6
    assert sampler().dataset(3).cardinality() == tf.data.INFINITE_CARDINALITY
    assert all(
        spec.shape.is_fully_defined() for spec in tf.nest.flatten(data.element_spec)
    )


def test_rotations_are_additional_classes():
    images = np.random.default_rng(0).random((6, 5, 5, 1))
    episodes = Sampler(
        images, np.repeat([0, 1], 3), ways=8, shots=1, queries=2, rotation_classes=True
    )
    assert episodes.num_classes == 8
    x, _ = episodes.episode(0)
    turned = {
        np.rot90(i, k).tobytes(): (n // 3, k)
        for n, i in enumerate(images)
        for k in range(4)
    }
    found = {turned[np.ascontiguousarray(i).tobytes()] for i in x["support_x"]}
    assert found == {(c, k) for c in range(2) for k in range(4)}
    queries = x["query_x"].reshape(8, 2, 5, 5, 1)
    for support, pair in zip(x["support_x"], queries, strict=True):
        kinds = {turned[np.ascontiguousarray(i).tobytes()] for i in [support, *pair]}
        assert len(kinds) == 1


def test_variable_ways_and_shots_are_padded_and_masked():
    episodes = sampler(ways=(2, 5), shots=(1, 3))
    seen = set()
    for index in range(60):
        x, y = episodes.episode(index)
        assert x["support_x"].shape == (15, 2) and y.shape == (15,)
        support = x["support_y"][x["support_mask"]]
        ways = len(np.unique(support))
        shots = len(support) // ways
        np.testing.assert_array_equal(np.bincount(support), [shots] * ways)
        assert x["query_mask"].sum() == 3 * ways
        assert not x["support_x"][~x["support_mask"]].any()
        assert not y[~x["query_mask"]].any()
        seen.add((ways, shots))
    assert len(seen) == 12


def test_inputs_can_be_structures():
    x, y = numbered()
    episodes = Sampler({"a": x, "b": x[:, :1] * 2}, y, ways=2, shots=1, queries=1)
    drawn, _ = episodes.batch(0, 3)
    assert drawn["support_x"]["a"].shape == (3, 2, 2)
    np.testing.assert_array_equal(
        drawn["query_x"]["b"][..., 0], drawn["query_x"]["a"][..., 0] * 2
    )


def test_callable_source_gives_the_same_episodes():
    x, y = numbered()
    by_class = x.reshape(10, 8, 2)
    episodes = Sampler.from_callable(
        lambda c, i: by_class[c, i], [8] * 10, ways=5, shots=2, queries=3
    )
    assert equal(episodes.batch(0, 4), sampler().batch(0, 4))


@pytest.mark.parametrize("random_access", [True, False])
def test_dataset_sources_give_the_same_episodes(random_access):
    x, _ = numbered()
    datasets = [tf.data.Dataset.from_tensor_slices(c) for c in x.reshape(10, 8, 2)]
    if not random_access:
        datasets = [
            d.filter(lambda _: True).apply(tf.data.experimental.assert_cardinality(8))
            for d in datasets
        ]
    episodes = Sampler.from_datasets(datasets, ways=5, shots=2, queries=3)
    assert equal(episodes.episode(0), sampler().episode(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ways": 11}, "`ways`.*10. Received: ways=11"),
        ({"ways": 0}, "`ways`.*positive integer.*ways=0"),
        ({"ways": (5, 2)}, "`ways`.*low <= high"),
        ({"shots": True}, "`shots`.*shots=True"),
        (
            {"queries": 7},
            "`queries`.*shots \\+ queries = 9.*10 of 10 classes.*smallest with 8",
        ),
        ({"queries": 1.5}, "`queries`.*queries=1.5"),
        ({"seed": -1}, "`seed`.*seed=-1"),
        ({"rotation_classes": True}, "`rotation_classes`.*square images"),
    ],
)
def test_invalid_arguments_raise(changes, message):
    with pytest.raises(ValueError, match=message):
        sampler(**changes)


def test_invalid_data_raises():
    x, y = numbered()
    settings = {"ways": 2, "shots": 1, "queries": 1}
    with pytest.raises(ValueError, match="`y`.*integer labels.*float64"):
        Sampler(x, y / 2, **settings)
    with pytest.raises(ValueError, match="`y`.*\\(80, 1\\)"):
        Sampler(x, y[:, None], **settings)
    with pytest.raises(ValueError, match="`x`.*Expected 80 examples.*\\(79, 2\\)"):
        Sampler(x[1:], y, **settings)
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="`x`.*finite.*1 values"):
        Sampler(x, y, **settings)
    datasets = [tf.data.Dataset.from_tensor_slices(c) for c in x.reshape(10, 8, 2)]
    episodes = Sampler.from_datasets(datasets, **settings)
    with pytest.raises(ValueError, match="`datasets`.*finite"):
        episodes.batch(0, 100)
    with pytest.raises(ValueError, match="known, finite length"):
        Sampler.from_datasets(
            [tf.data.Dataset.from_tensors(0).repeat()] * 3, **settings
        )


def test_repr_shows_the_settings():
    assert repr(sampler(shots=(1, 2))) == (
        "EpisodeSampler(10 classes, ways=5, shots=(1, 2), queries=3, seed=0)"
    )
