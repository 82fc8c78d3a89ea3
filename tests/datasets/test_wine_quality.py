"""Wine Quality from synthetic copies of the authors' zip file and of the arrays."""

from __future__ import annotations

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


def test_reads_the_authors_files(archive):
    x, is_white, quality, group = wine_quality.load_data(archive)
    np.testing.assert_array_equal(x, np.concatenate([rows(5, 5)[0], rows(8, 8)[0]]))
    np.testing.assert_array_equal(is_white, [0] * 5 + [1] * 8)
    np.testing.assert_array_equal(quality[:5], [3, 4, 5, 6, 7])
    assert group[0] == group[4]
    assert len(set(group)) == 11


def test_download_is_verified_and_read(archive, monkeypatch):
    monkeypatch.delenv("KERAS_METALOSS_DATA", raising=False)
    arguments = {}
    monkeypatch.setattr(
        "keras.utils.get_file",
        lambda **kwargs: arguments.update(kwargs) or str(archive),
    )
    assert len(wine_quality.load_data()[0]) == 13
    assert arguments["hash_algorithm"] == "sha256"
    assert len(arguments["file_hash"]) == 64


def test_reads_arrays_from_the_environment_folder(tmp_path, monkeypatch):
    x, quality = rows(6, 0)
    np.savez(tmp_path / "wine_quality.npz", x=x, quality=quality, is_white=quality > 5)
    monkeypatch.setenv("KERAS_METALOSS_DATA", str(tmp_path))
    actual, is_white, *_ = wine_quality.load_data()
    np.testing.assert_array_equal(actual, x)
    assert is_white.tolist() == [0, 0, 0, 1, 1, 1]


def test_missing_data_raises(tmp_path):
    with pytest.raises(ValueError, match="wine_quality.npz"):
        wine_quality.load_data(tmp_path)
