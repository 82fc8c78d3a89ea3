"""Helpers of all models for training and evaluation."""
