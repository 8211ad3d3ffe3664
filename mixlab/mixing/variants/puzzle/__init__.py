"""Puzzle Mix: what a mask costs, the exact mask, and where the blocks move."""
