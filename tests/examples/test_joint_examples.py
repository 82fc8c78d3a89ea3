"""The examples of joint training run to their end, in their short form."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from test_examples import run


def is_complete(output):
    for part in ("each network alone", "together, beta=0", "together, beta=1"):
        assert part in output
    assert "Unrelated tasks" in output and "nan" not in output


@pytest.mark.slow
def test_wine_without_data(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_METALOSS_DATA", raising=False)
    pytest.importorskip("sklearn")
    output = run("joint_wine.py", "--fast", cwd=tmp_path)
    assert "come with scikit-learn" in output
    is_complete(output)
    with Image.open(tmp_path / "saved_models" / "joint_wine.png") as picture:
        assert np.asarray(picture).std() > 1


@pytest.mark.slow
def test_wine_with_data(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 11))
    np.savez(
        tmp_path / "wine_quality.npz",
        x=x,
        is_white=(x[:, 0] > 0).astype("int8"),
        quality=np.round(5 + x[:, 1]).astype("int8"),
        duplicate_group=np.arange(120, dtype="int32"),
    )
    monkeypatch.setenv("KERAS_METALOSS_DATA", str(tmp_path))
    output = run("joint_wine.py", "--fast", cwd=tmp_path)
    assert "120 wines from" in output
    is_complete(output)


@pytest.mark.slow
def test_molecules_with_data(tmp_path):
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (300, 64), dtype="uint8")
    values = (bits[:, :8].sum(axis=1) + random.normal(size=300)).astype("float32")
    np.savez(
        tmp_path / "molecules.npz",
        task_offset=np.array([0, 100, 300]),
        task_fold=np.array(["test", "test"]),
        active_log_corr=np.array([0.8, 0.9]),
        fingerprint=np.packbits(bits, axis=1),
        active=(values > 4).astype("uint8"),
        log_value=np.where(random.random(300) < 0.1, np.nan, values),
    )
    data = tmp_path / "molecules.npz"
    output = run("joint_molecules.py", "--fast", "--data", data, cwd=tmp_path)
    assert "1 assays of [200] molecules" in output
    is_complete(output)


@pytest.mark.slow
def test_molecules_without_data(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_METALOSS_DATA", raising=False)
    pytest.importorskip("sklearn")
    output = run("joint_molecules.py", "--fast", cwd=tmp_path)
    assert "come with scikit-learn" in output
    is_complete(output)


@pytest.mark.slow
def test_segmentation_and_detection(tmp_path):
    is_complete(run("joint_segmentation_detection.py", "--fast", cwd=tmp_path))
