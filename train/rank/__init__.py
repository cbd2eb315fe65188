"""Ranking models: what they learn from, how they are fitted, and how it is decided which of them serve."""
