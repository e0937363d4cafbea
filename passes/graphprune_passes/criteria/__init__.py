"""Criteria: how much each slot matters."""
