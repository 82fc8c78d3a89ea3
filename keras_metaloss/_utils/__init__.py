"""Helpers without a subject of their own: checks, dtypes, shapes, masks, XLA."""
