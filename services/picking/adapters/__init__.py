"""How picking reaches the world."""
