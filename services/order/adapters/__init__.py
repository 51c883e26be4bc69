"""How the order service reaches the world."""
