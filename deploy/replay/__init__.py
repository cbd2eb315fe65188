"""Kept requests (`router/replay/`) made again in one process.

`recorder.py` keeps them while serving, `house.py` is a generation in this process, `play.py` goes through the stages again,
`circumstances.py` makes fail what had failed, `diff.py` says what is different and which stage did it.
"""
