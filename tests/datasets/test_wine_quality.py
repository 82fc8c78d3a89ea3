"""Wine Quality from synthetic zip and `.npz` files."""

from __future__ import annotations

import itertools
import zipfile

import numpy as np
import pytest

from keras_metaloss.datasets import wine_quality

_HEAD = ";".join(f'"feature {i}"' for i in range(11)) + ';"quality"\n'


def rows(count, seed):
    x = np.random.default_rng(seed).random((count, 11)).round(3)
    x[-1] = x[0]
    return x, np.arange(count) % 7 + 3


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "wine+quality.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, count in (("red", 5), ("white", 8)):
            x, quality = rows(count, count)
            lines = [
                ";".join(map(str, [*row, score]))
                for row, score in zip(x, quality, strict=True)
            ]
            file.writestr(f"winequality-{name}.csv", _HEAD + "\n".join(lines) + "\n")
        file.writestr("winequality.names", "about")
    return path


def wines(*splits):
    """Returns one sorted row per wine: measurements, color and score."""
    tables = [np.column_stack([x, y["is_white"], y["quality"]]) for x, y in splits]
    table = np.concatenate(tables)
    return table[np.lexsort(table.T)]


def test_reads_the_authors_files(archive):
    (red, red_quality), (white, white_quality) = rows(5, 5), rows(8, 8)
    expected = np.column_stack(
        [
            np.concatenate([red, white]),
            [0] * 5 + [1] * 8,
            np.concatenate([red_quality, white_quality]),
        ]
    )
    np.testing.assert_array_equal(red_quality, [3, 4, 5, 6, 7])
    actual = wines(*wine_quality.load_data(archive))
    np.testing.assert_array_equal(actual, expected[np.lexsort(expected.T)])


def test_duplicate_groups():
    x, _ = rows(5, 5)
    group = wine_quality.duplicate_groups(np.concatenate([x, rows(8, 8)[0]]))
    assert group[0] == group[4]
    assert len(set(group)) == 11 and group.dtype == np.int32


@pytest.mark.parametrize("seed", range(4))
def test_duplicates_are_adjacent_and_in_one_split(archive, seed):
    (x_train, _), (x_test, _) = wine_quality.load_data(archive, 0.4, seed)
    train, test = ([tuple(row) for row in part] for part in (x_train, x_test))
    assert len(set(test)) == 4 and len(set(train)) == 7
    for part in (train, test):
        changes = sum(one != other for one, other in itertools.pairwise(part))
        assert changes == len(set(part)) - 1


def test_seed_selects_order_and_split(archive):
    first, same, other = (
        wine_quality.load_data(archive, seed=seed)[0][0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_zero_test_split_keeps_all_wines_for_training(archive):
    train, (x_test, y_test) = wine_quality.load_data(archive, test_split=0.0)
    assert len(train[0]) == 13
    assert x_test.shape == (0, 11) and len(y_test["quality"]) == 0


def test_download_is_verified_and_read(archive, monkeypatch):
    monkeypatch.delenv("KERAS_METALOSS_DATA", raising=False)
    arguments = {}
    monkeypatch.setattr(
        "keras.utils.get_file",
        lambda **kwargs: arguments.update(kwargs) or str(archive),
    )
    assert len(wines(*wine_quality.load_data())) == 13
    assert arguments["hash_algorithm"] == "sha256"
    assert len(arguments["file_hash"]) == 64


def test_reads_arrays_from_the_environment_folder(tmp_path, monkeypatch):
    x, quality = rows(6, 0)
    np.savez(tmp_path / "wine_quality.npz", x=x, quality=quality, is_white=quality > 5)
    monkeypatch.setenv("KERAS_METALOSS_DATA", str(tmp_path))
    actual = wines(*wine_quality.load_data())
    expected = np.column_stack([x, [0, 0, 0, 1, 1, 1], quality])
    np.testing.assert_array_equal(actual, expected[np.lexsort(expected.T)])


def test_missing_data_raises(tmp_path):
    with pytest.raises(ValueError, match="wine_quality.npz"):
        wine_quality.load_data(tmp_path)


@pytest.mark.parametrize(
    ("argument", "value"), [("test_split", 1.0), ("test_split", -0.1), ("seed", -1)]
)
def test_invalid_arguments_are_named(archive, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}`.*Received: {argument}="):
        wine_quality.load_data(archive, **{argument: value})
