"""What K blends of each pair leave of the gradient's variance."""
