"""How the catalog's questions are answered."""
