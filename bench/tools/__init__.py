"""What the benchmarks share: the harness, the machine, worlds, load and data."""
