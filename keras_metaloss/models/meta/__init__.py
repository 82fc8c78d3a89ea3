"""`MetaModel`: trains on episodes and adapts to new tasks."""

from keras_metaloss.models.meta.meta_model import MetaModel

__all__ = ["MetaModel"]
