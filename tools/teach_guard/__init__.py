"""Teaches and judges the network of the guard."""
