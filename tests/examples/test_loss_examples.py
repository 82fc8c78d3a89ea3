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
