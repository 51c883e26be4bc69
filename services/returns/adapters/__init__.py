"""How returns reaches the world."""
