"""All tests: hypothesis takes its time, because a shared machine is slow at random, and not where the code is."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
