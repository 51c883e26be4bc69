"""How a service reaches the world."""
