"""What is known about the user, and what to ask the shards for: ids, seeds and vectors, and how many hits of which source."""
