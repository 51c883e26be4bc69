"""How delivery reaches the world."""
