"""FS-Mol from synthetic copies of the authors' files and of the arrays."""

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


def check(assay, counts):
    np.testing.assert_array_equal(assay.fingerprint, np.minimum(counts, 1))
    assert assay.active.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(assay.log_value, [7.5, np.nan, np.nan, -1.25])


@pytest.mark.parametrize("folder", ["", "test"])
def test_reads_the_authors_files(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    counts = {
        n: write(tmp_path / folder / f"{n}.jsonl.gz", i) for i, n in enumerate("ab")
    }
    assays = fsmol.load_data(tmp_path, ["b", "a"])
    assert [assay.name for assay in assays] == ["b", "a"]
    for assay in assays:
        check(assay, counts[assay.name])


def test_downloads_each_assay(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_METALOSS_DATA", raising=False)
    counts = write(tmp_path / "one.gz")
    origins = []

    def get_file(origin, **_):
        origins.append(origin)
        return str(tmp_path / "one.gz")

    monkeypatch.setattr("keras.utils.get_file", get_file)
    assays = fsmol.load_data(assays=["CHEMBL1", "CHEMBL2"], fold="valid")
    assert [url.split("/")[-2:] for url in origins] == [
        ["valid", "CHEMBL1.jsonl.gz"],
        ["valid", "CHEMBL2.jsonl.gz"],
    ]
    check(assays[1], counts)


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
    (assay,) = fsmol.load_data(assays=["b"])
    np.testing.assert_array_equal(assay.fingerprint, bits[2:])
    assert assay.active.tolist() == [1, 0, 1] and assay.log_value.tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match=r"assays with \['c'\]"):
        fsmol.load_data(assays=["a", "c"])


def test_missing_data_raises(tmp_path):
    write(tmp_path / "a.jsonl.gz")
    with pytest.raises(ValueError, match=r"without \['b'\]"):
        fsmol.load_data(tmp_path, ["a", "b"])
    with pytest.raises(ValueError, match='Expected "train", "valid" or "test"'):
        fsmol.load_data(tmp_path, ["a"], fold="all")
