"""The examples of joint training run to their end, in their short form."""

from __future__ import annotations

import joint_molecules
import joint_wine
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


def test_wine_with_data(tmp_path, capsys):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 11))
    x[100:] = x[:20]
    np.savez(
        tmp_path / "wine_quality.npz",
        x=x,
        is_white=(x[:, 0] > 0).astype("int8"),
        quality=np.round(5 + x[:, 1]).astype("int8"),
    )
    data = joint_wine.load_data(str(tmp_path), download=False)
    assert "120 wines from" in capsys.readouterr().out
    problem = joint_wine.problem(0, data, rows=40)
    parts = [part[0] for part in (problem.train, problem.validation, problem.test)]
    rows = [{tuple(row) for row in part.round(4)} for part in parts]
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])
    assert sum(len(part) for part in parts) > 100


def test_molecules_with_data(tmp_path, capsys):
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
    tasks = joint_molecules.load_data(str(tmp_path / "molecules.npz"), 1)
    assert "1 assays of [200] molecules" in capsys.readouterr().out
    problem = joint_molecules.problem(0, tasks, rows=60, share=0.3)
    x, (active, value) = problem.train
    np.testing.assert_array_equal(x, np.unpackbits(np.packbits(x.astype(bool), 1), 1))
    assert x.shape == (60, 64) and set(active) == {0, 1}
    assert 0.5 < np.isnan(value).mean() < 0.9


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
