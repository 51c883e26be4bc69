"""The rules: who can, what it costs, who is chosen."""
