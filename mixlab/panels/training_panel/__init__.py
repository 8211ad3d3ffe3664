"""A small net trained live."""
