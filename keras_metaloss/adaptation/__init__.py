"""How a learner adapts to one task."""

from keras_metaloss.adaptation.base import Adaptation, Adapted, Task
from keras_metaloss.adaptation.maml import MAML

__all__ = ["MAML", "Adaptation", "Adapted", "Task"]
