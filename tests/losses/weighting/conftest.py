"""Fixtures of the tests of task weightings."""

from __future__ import annotations

import keras
import pytest


@pytest.fixture
def float64():
    """Sets float64 as Keras's float type."""
    keras.config.set_floatx("float64")
