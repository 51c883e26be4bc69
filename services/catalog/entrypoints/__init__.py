"""How the world reaches the catalog."""
