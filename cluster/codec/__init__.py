"""How what travels between processes looks as bytes: msgpack arrays, and numpy arrays as raw bytes."""
