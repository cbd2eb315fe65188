"""Vectors of users and items: ALS, eALS and the two-tower model, and the linear algebra below them."""
