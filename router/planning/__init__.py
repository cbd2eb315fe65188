"""Who asks, and what to ask for: the request's ids, what speaks for the user, and how many hits of which source."""
