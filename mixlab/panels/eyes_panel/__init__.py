"""How much of each image a person sees in a blend."""
