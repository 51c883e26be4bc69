"""How the gateway reaches its database."""
