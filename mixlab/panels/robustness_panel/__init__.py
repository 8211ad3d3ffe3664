"""What two networks answer as an image gets worse."""
