"""Ranking models: what they learn from, how they are fitted, and which of them serve."""
