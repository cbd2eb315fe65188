"""The counters of a router's process, and their form for Prometheus."""
