"""A made-up retailer, and what its customers buy."""
