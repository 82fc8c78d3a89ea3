"""Meta-learning for Keras 3: adaptation methods, losses and models."""

from keras_metaloss import _compat  # noqa: F401  isort: skip (checks the backend)
from keras_metaloss import (
    adaptation,
    callbacks,
    datasets,
    information,
    layers,
    learners,
    losses,
    metrics,
    models,
    tasks,
)
from keras_metaloss._version import __version__
from keras_metaloss.models import (
    AdaptiveLossModel,
    JointModel,
    MetaModel,
    MultiTaskModel,
)

__all__ = [
    "AdaptiveLossModel",
    "JointModel",
    "MetaModel",
    "MultiTaskModel",
    "__version__",
    "adaptation",
    "callbacks",
    "datasets",
    "information",
    "layers",
    "learners",
    "losses",
    "metrics",
    "models",
    "tasks",
]
