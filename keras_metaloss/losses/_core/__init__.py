"""The loss contract: what a loss states and what it receives."""
