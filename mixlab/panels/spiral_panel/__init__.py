"""What mixing does to the hidden states of a small net."""
