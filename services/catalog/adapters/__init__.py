"""How the catalog reaches the world."""
