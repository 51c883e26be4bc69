"""How the world reaches a service."""
