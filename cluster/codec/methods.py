"""The methods that shards and rankers serve over the data plane, by their number on the wire."""

RETRIEVE = 1
FETCH = 2
RANK = 3
PROBE = 4
LOOKUP = 5
