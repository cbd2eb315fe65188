"""Where user records are kept. `store.py` is the protocol, the other modules are its implementations."""
