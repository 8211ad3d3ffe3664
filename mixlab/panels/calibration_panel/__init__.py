"""Predictions calibrated by hand."""
