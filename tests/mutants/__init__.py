"""Bugs that are easy to make and hard to see, each planted in a copy and caught by a named test."""
