"""Base classes of losses, their traits and the context that models pass to them."""
