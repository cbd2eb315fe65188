"""The demo's data and configurations: a real shopping log from a wheel, and a synthetic log that needs no network."""
