"""Lists and item-item tables over a shard's rows, and the walkers that merge them."""
