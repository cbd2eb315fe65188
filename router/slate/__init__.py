"""The final list: candidates put into places under the rules of [slate] in the configuration. `compose.py` is the entry."""
