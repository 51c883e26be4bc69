"""How the stock ledger reaches the world."""
