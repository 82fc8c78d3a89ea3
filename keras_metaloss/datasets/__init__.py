"""Data sets by `load_data()`, as in `keras.datasets`."""

from __future__ import annotations

from keras_metaloss.datasets import glyphs, omniglot, sinusoid, wine_quality

__all__ = ["glyphs", "omniglot", "sinusoid", "wine_quality"]
