"""`MultiTaskModel`: several outputs with adaptive task weights."""

from keras_metaloss.models.multi_task.multi_task_model import MultiTaskModel

__all__ = ["MultiTaskModel"]
