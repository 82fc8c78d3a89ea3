"""Shared helpers: argument checks, dtypes, masks, shapes and XLA."""
