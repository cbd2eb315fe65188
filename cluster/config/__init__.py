"""The configuration: its sections, how files and the environment are read into it, and every mistake in them at once."""
