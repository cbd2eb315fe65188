"""The worth of sources and ranking stages, measured on requests of the past."""
