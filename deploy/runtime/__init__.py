"""A running cluster: what starts its actors, heals them, tells its routers who serves, and ends it."""
