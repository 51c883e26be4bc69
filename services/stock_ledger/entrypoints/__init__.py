"""How the world reaches the stock ledger."""
