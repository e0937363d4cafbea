"""Allocations: how many slots each group keeps."""
