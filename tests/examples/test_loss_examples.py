"""The examples of losses run to their end, in their short form."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from test_examples import run

pytest.importorskip("sklearn")


def check_picture(path):
    with Image.open(path) as picture:
        assert np.asarray(picture).std() > 1


@pytest.mark.slow
def test_imbalanced_digits(tmp_path):
    output = run("imbalanced_digits.py", "--fast", cwd=tmp_path)
    assert "cross-entropy" in output and "learned gamma" in output
    check_picture(tmp_path / "saved_models" / "imbalanced_digits.png")


@pytest.mark.slow
def test_outliers_regression_on_the_built_in_set(tmp_path):
    output = run("outliers_regression.py", "--fast", "--data", "none.npz", cwd=tmp_path)
    assert "diabetes: 442 rows" in output
    check_picture(tmp_path / "saved_models" / "outliers_regression.png")
