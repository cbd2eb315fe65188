"""Vectors of users and items: ALS, eALS and two towers, and what they are computed with."""
