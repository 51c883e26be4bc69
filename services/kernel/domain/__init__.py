"""Shapes that every rule takes."""
