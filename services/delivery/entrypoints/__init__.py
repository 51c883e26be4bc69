"""How the world reaches delivery."""
