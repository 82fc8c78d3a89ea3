"""Datasets loaded with `load_data()`, as in `keras.datasets`."""

from __future__ import annotations

from keras_metaloss.datasets import fsmol, glyphs, omniglot, sinusoid, wine_quality

__all__ = ["fsmol", "glyphs", "omniglot", "sinusoid", "wine_quality"]
