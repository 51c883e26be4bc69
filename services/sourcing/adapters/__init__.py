"""How sourcing reaches the world."""
