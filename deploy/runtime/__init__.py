"""A running cluster: starts and heals its actors, tells its routers which of them serve, and ends it."""
