"""How notification reaches the world."""
