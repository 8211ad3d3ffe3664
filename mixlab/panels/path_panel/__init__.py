"""What networks answer on the way from one image to another."""
