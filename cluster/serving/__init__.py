"""What shard and ranker processes have in common: loading in the background, and calls over the data plane."""
