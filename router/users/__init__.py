"""User stores: `store.py` is the protocol, `record.py` the bytes of a record; LMDB, Redis and Valkey are implementations."""
