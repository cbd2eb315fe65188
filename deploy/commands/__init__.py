"""The verbs of the command line, one module each. What they share is in `common.py`; `deploy/cli.py` puts them together."""
