"""The encoding of everything that travels between processes: msgpack arrays, and numpy arrays as raw bytes."""
