"""Fixtures of the tests of models."""

from __future__ import annotations

import keras
import pytest


@pytest.fixture
def dtype_policy(request):
    """Sets the dtype policy given by indirect parametrization."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(request.param)
    yield
    keras.mixed_precision.set_dtype_policy(before)
