"""Puzzle Mix, taken apart."""
