"""How the world reaches notification."""
