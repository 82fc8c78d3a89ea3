"""Functions that all kinds of estimators share."""
