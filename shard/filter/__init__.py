"""Attributes of items, and filters turned into masks over rows."""
