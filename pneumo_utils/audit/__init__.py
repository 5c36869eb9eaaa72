"""Checks a folder of films before anybody trains on it: leaks, repeats, damage, shortcuts."""
