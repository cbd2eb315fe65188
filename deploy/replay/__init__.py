"""Answers kept requests (`router/replay/`) again in one process.

`recorder.py` keeps requests while serving, `house.py` is a generation in this process, `play.py` runs the stages again,
`circumstances.py` repeats the faults, `diff.py` lists the differences and the stages that caused them.
"""
