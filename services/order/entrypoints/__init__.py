"""How the world reaches the order service."""
