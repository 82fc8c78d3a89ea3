"""The examples of losses run to their end, in their short form."""

from __future__ import annotations

import imbalanced_digits
import numpy as np
import outliers_regression
import pytest
from PIL import Image


def check_picture(path):
    with Image.open(path) as picture:
        assert np.asarray(picture).std() > 1


@pytest.mark.slow
def test_imbalanced_digits(run_main, tmp_path):
    output = run_main(imbalanced_digits)
    assert "cross-entropy" in output and "learned gamma" in output
    check_picture(tmp_path / "saved_models" / "imbalanced_digits.png")


@pytest.mark.slow
def test_outliers_regression_on_the_built_in_set(run_main, tmp_path):
    output = run_main(outliers_regression)
    assert "diabetes: 442 rows" in output
    check_picture(tmp_path / "saved_models" / "outliers_regression.png")
