"""Loading the chain, and playing customers and staff."""
