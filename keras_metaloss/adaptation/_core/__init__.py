"""Base class and helpers of all adaptation methods."""
