"""How the world reaches returns."""
