"""What a router's process counts, and how Prometheus reads it."""
