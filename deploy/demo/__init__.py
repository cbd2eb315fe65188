"""The demo's data and configurations: a real shopping log out of a wheel, and a synthetic one that needs no network."""
