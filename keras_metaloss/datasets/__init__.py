"""Datasets: splits of arrays, as in `keras.datasets`, and families of tasks.

All modules follow the same conventions.

Datasets of examples have a function `load_data()`. It returns one pair `(x, y)` of
inputs and targets per split:

- `(x_train, y_train), (x_test, y_test)`, or
- `(x_train, y_train), (x_val, y_val), (x_test, y_test)` if the published protocol has a
  validation split.

`x` and `y` are NumPy arrays or, for several inputs or targets, dictionaries from names
to NumPy arrays. The first axis of all arrays of a split is the same example axis.
Values are not normalized. Integer labels are int32. Missing targets are NaN. If splits
have different classes, the integer labels start from 0 in each split. If the data are
read from a file, the first argument is `path`: a file or a folder. `None` means the
path in the environment variable `KERAS_METALOSS_DATA`, or a download if it is not set.

Families of tasks that are generated on demand have a function `load_tasks()`. It
returns `train, val, test`, three `keras_metaloss.tasks.FunctionTasks` that draw
different tasks. Its first arguments are `shots` and `queries`; its last one is `seed`.
"""

from __future__ import annotations

from keras_metaloss.datasets import fsmol, glyphs, omniglot, sinusoid, wine_quality

__all__ = ["fsmol", "glyphs", "omniglot", "sinusoid", "wine_quality"]
