"""Recorded runs, two settings of them side by side."""
