"""What a router talks to.

client: a shard or a ranker as its caller sees it (`protocols.py`). It is in this process (`local.py`), in another one behind a
channel (`remote.py`), or several processes that do the same work (`replicas.py`).
fleet: the clients of one topology, taken by a request when it begins; `channel_pool.py` makes them and keeps their channels.
"""
