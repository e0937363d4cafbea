"""Changes of basis: other weights for the same function, so that slots can be told apart better."""
