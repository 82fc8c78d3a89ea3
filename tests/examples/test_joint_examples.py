"""Joint training examples run with `--fast`."""

from __future__ import annotations

import joint_molecules
import joint_segmentation_detection
import joint_wine
import keras
import numpy as np
import pytest
from PIL import Image

import keras_metaloss as kml


@pytest.fixture
def eager(monkeypatch):
    """Runs eagerly, because tracing takes longer than the short runs."""
    always = property(lambda self: True, lambda self, value: None)
    monkeypatch.setattr(keras.Model, "run_eagerly", always)


def is_complete(output):
    for part in (
        "separate training",
        "joint training, beta=0",
        "joint training, beta=1",
    ):
        assert part in output
    assert "Unrelated tasks" in output and "nan" not in output


@pytest.fixture
def wines(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 11))
    x[100:] = x[:20]
    np.savez(
        tmp_path / "wine_quality.npz",
        x=x,
        is_white=(x[:, 0] > 0).astype("int8"),
        quality=np.round(5 + x[:, 1]).astype("int8"),
    )
    return tmp_path


@pytest.fixture
def molecules(tmp_path):
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (300, 64), dtype="uint8")
    values = (bits[:, :8].sum(axis=1) + random.normal(size=300)).astype("float32")
    np.savez(
        tmp_path / "molecules.npz",
        task_id=np.array(["CHEMBL1", kml.datasets.fsmol.ASSAYS["test"][0]]),
        task_offset=np.array([0, 100, 300]),
        fingerprint=np.packbits(bits, axis=1),
        active=(values > 4).astype("uint8"),
        log_value=np.where(random.random(300) < 0.1, np.nan, values),
    )
    return tmp_path / "molecules.npz"


@pytest.mark.slow
def test_wine_without_data(run_main, eager, tmp_path):
    pytest.importorskip("sklearn")
    output = run_main(joint_wine, "--rows", 64)
    assert "bundled with scikit-learn" in output
    is_complete(output)
    with Image.open(tmp_path / "saved_models" / "joint_wine.png") as picture:
        assert np.asarray(picture).std() > 1


def test_wine_with_data(run_main, eager, wines, monkeypatch):
    monkeypatch.setenv("KERAS_METALOSS_DATA", str(wines))
    output = run_main(joint_wine, "--rows", 64)
    assert "120 wines from" in output
    is_complete(output)


def test_wine_splits_share_no_group(wines):
    data = joint_wine.load_data(str(wines), download=False)
    problem = joint_wine.problem(0, data, rows=40)
    parts = [part[0] for part in (problem.train, problem.validation, problem.test)]
    rows = [{tuple(row) for row in part.round(4)} for part in parts]
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])
    assert sum(len(part) for part in parts) > 100


def test_molecules_with_data(run_main, eager, molecules):
    output = run_main(joint_molecules, "--data", molecules, "--rows", 64)
    assert "1 assays with [200] molecules" in output
    is_complete(output)


def test_molecules_have_missing_values(molecules):
    tasks = joint_molecules.load_data(str(molecules), 1)
    problem = joint_molecules.problem(0, tasks, rows=60, share=0.3)
    x, (active, value) = problem.train
    np.testing.assert_array_equal(x, np.unpackbits(np.packbits(x.astype(bool), 1), 1))
    assert x.shape == (60, 64) and set(active) == {0, 1}
    assert 0.5 < np.isnan(value).mean() < 0.9


def test_molecules_without_data(run_main, eager):
    pytest.importorskip("sklearn")
    output = run_main(joint_molecules, "--rows", 64)
    assert "bundled with scikit-learn" in output
    is_complete(output)


@pytest.mark.slow
def test_segmentation_and_detection(run_main, eager):
    is_complete(run_main(joint_segmentation_detection))
