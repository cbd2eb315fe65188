"""What a router talks to: shards and rankers behind one protocol, in this process, in another, or as replicas."""
