"""Mix-ins and helpers shared by all models."""
