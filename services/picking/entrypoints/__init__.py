"""How the world reaches picking."""
