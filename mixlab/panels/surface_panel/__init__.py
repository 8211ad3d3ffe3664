"""How a loss lies around the weights of one network or two."""
