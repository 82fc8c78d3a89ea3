"""Loss examples run with `--fast`."""

from __future__ import annotations

import imbalanced_digits
import numpy as np
import outliers_regression
import pytest
from PIL import Image


def test_verdict_on_outliers():
    errors = {
        "MSE": [1.0, 1.1],
        "MAE": [0.7, 0.8],
        "Huber": [0.9, 0.9],
        "adaptive robust": [0.6, 0.7],
        "AdaLoss (easy)": [0.9, 0.9],
    }
    verdict = outliers_regression.verdict(errors)
    assert "MAE, the best standard loss, minus adaptive robust: +0.100" in verdict
    assert "adaptive robust wins by more than two standard errors" in verdict
    errors["adaptive robust"] = [0.8, 0.6]
    assert "within two standard errors" in outliers_regression.verdict(errors)
    errors["adaptive robust"] = [1.0, 1.1]
    assert "MAE wins by more than two standard errors" in outliers_regression.verdict(
        errors
    )


def test_verdict_on_rare_digits():
    scores = {
        "cross-entropy": [0.5, 0.6],
        "weighted cross-entropy": [0.9, 0.9],
        "focal": [0.6, 0.7],
        "weighted focal": [0.8, 0.8],
    }
    verdict = imbalanced_digits.verdict({n: [[v] for v in scores[n]] for n in scores})
    assert "focal: +10.0 points, better than cross-entropy" in verdict
    assert "weighted focal: -10.0 points, worse than weighted cross-entropy" in verdict


def test_outliers_regression_splits_share_no_duplicates(tmp_path):
    x = np.random.default_rng(0).random((40, 11))
    x[20:] = x[:20]
    path = tmp_path / "wine_quality.npz"
    color, quality = np.arange(40) // 20, np.arange(40) % 7 + 3
    np.savez(path, x=x, is_white=color, quality=quality)
    name, x, y, group = outliers_regression.load(path)
    assert name == "wine quality" and x.shape == (40, 12) and len(set(group)) == 20
    splits = outliers_regression.parts(x, y, group, 0.0, seed=0)
    rows = [
        {tuple(row) for row in part[:, :11].round(4)} for part, _ in splits.values()
    ]
    assert sum(map(len, rows)) == 20 and len(set.union(*rows)) == 20


def check_picture(path):
    with Image.open(path) as picture:
        assert np.asarray(picture).std() > 1


@pytest.mark.slow
def test_imbalanced_digits(run_main, tmp_path):
    output = run_main(imbalanced_digits)
    assert "cross-entropy" in output and "learned gamma" in output
    check_picture(tmp_path / "saved_models" / "imbalanced_digits.png")


@pytest.mark.slow
def test_outliers_regression_on_the_bundled_dataset(run_main, tmp_path):
    output = run_main(outliers_regression)
    assert "diabetes: 442 rows" in output
    assert ", the best standard loss, minus " in output
    assert "; one seed gives no standard error." in output
    check_picture(tmp_path / "saved_models" / "outliers_regression.png")
