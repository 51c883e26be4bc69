"""How the demo reaches the API, and how its summary looks."""
