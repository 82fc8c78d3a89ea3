"""Data sets by `load_data()`, as in `keras.datasets`."""

from __future__ import annotations

from keras_metaloss.datasets import glyphs, omniglot, sinusoid

__all__ = ["glyphs", "omniglot", "sinusoid"]
