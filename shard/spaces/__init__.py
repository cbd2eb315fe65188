"""Embedding spaces: exact scans, the graph, and the planner that chooses between them for each query."""
