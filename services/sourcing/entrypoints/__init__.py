"""How the world reaches sourcing."""
