"""Scores of whole layers: what the network loses without them."""
