"""What the stock ledger shows."""
