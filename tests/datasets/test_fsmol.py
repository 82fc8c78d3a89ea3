"""FS-Mol from synthetic files in the authors' format and in the `.npz` format."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from keras_metaloss.datasets import fsmol


def write(path, seed=0):
    """Writes a file in the authors' format; returns its fingerprint counts."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 3, (4, 2048))
    values = ["7.5", None, "", "-1.25"]
    with gzip.open(path, "wt") as file:
        for number, (row, value) in enumerate(zip(counts, values, strict=True)):
            molecule = {
                "SMILES": "C" * (number + 1),
                "Property": f"{number % 2}.0",
                "RegressionProperty": value,
                "LogRegressionProperty": value,
                "Relation": "=",
                "fingerprints": row.tolist(),
                "graph": {"adjacency_lists": [[], [], []]},
            }
            file.write(json.dumps(molecule) + "\n")
    return counts


def check(split, index, counts):
    """Compares the assay `index` of a split with the file of `counts`."""
    x, y = split
    rows = x["assay"] == index
    np.testing.assert_array_equal(x["fingerprint"][rows], np.minimum(counts, 1))
    assert y["active"][rows].tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(y["log_value"][rows], [7.5, np.nan, np.nan, -1.25])


@pytest.mark.parametrize("folder", ["", "test"])
def test_reads_the_authors_files(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    counts = {
        n: write(tmp_path / folder / f"{n}.jsonl.gz", i) for i, n in enumerate("ab")
    }
    train, val, test = fsmol.load_data(tmp_path, {"test": ["b", "a"]})
    assert test[0]["assay"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    for index, name in enumerate(["b", "a"]):
        check(test, index, counts[name])
    for x, y in (train, val):
        assert x["fingerprint"].shape == (0, 2048)
        assert not any(map(len, (x["assay"], y["active"], y["log_value"])))


def test_splits_are_read_from_their_folders(tmp_path):
    folders = {"train": "train", "val": "valid", "test": "test"}
    counts = {}
    for seed, (split, folder) in enumerate(folders.items()):
        (tmp_path / folder).mkdir()
        counts[split] = write(tmp_path / folder / f"{split}.jsonl.gz", seed)
    splits = fsmol.load_data(tmp_path, {split: [split] for split in folders})
    for split, found in zip(folders, splits, strict=True):
        check(found, 0, counts[split])


def test_downloads_each_assay(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_METALOSS_DATA", raising=False)
    counts = write(tmp_path / "one.gz")
    origins = []

    def get_file(origin, **_):
        origins.append(origin)
        return str(tmp_path / "one.gz")

    monkeypatch.setattr("keras.utils.get_file", get_file)
    _, val, _ = fsmol.load_data(assays={"val": ["CHEMBL1", "CHEMBL2"]})
    assert [url.split("/")[-2:] for url in origins] == [
        ["valid", "CHEMBL1.jsonl.gz"],
        ["valid", "CHEMBL2.jsonl.gz"],
    ]
    check(val, 1, counts)


def test_reads_arrays_from_the_environment_folder(tmp_path, monkeypatch):
    bits = np.random.default_rng(0).integers(0, 2, (5, 2048), dtype="uint8")
    np.savez(
        tmp_path / "fsmol_subset.npz",
        task_id=np.array(["a", "b"]),
        task_offset=np.array([0, 2, 5]),
        fingerprint=np.packbits(bits, axis=1),
        active=np.array([0, 1, 1, 0, 1], "uint8"),
        log_value=np.arange(5, dtype="float32"),
    )
    monkeypatch.setenv("KERAS_METALOSS_DATA", str(tmp_path))
    *_, (x, y) = fsmol.load_data(assays={"test": ["b"]})
    np.testing.assert_array_equal(x["fingerprint"], bits[2:])
    assert x["assay"].tolist() == [0, 0, 0]
    assert y["active"].tolist() == [1, 0, 1] and y["log_value"].tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match=r"assays with \['c'\]"):
        fsmol.load_data(assays={"train": ["a", "c"]})


def test_missing_data_raises(tmp_path):
    write(tmp_path / "a.jsonl.gz")
    with pytest.raises(ValueError, match=r"without \['b'\]"):
        fsmol.load_data(tmp_path, {"train": ["a", "b"]})
    with pytest.raises(ValueError, match='Expected the keys "train", "val" or "test"'):
        fsmol.load_data(tmp_path, {"all": ["a"]})
