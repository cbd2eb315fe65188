"""The verbs of the command line, one module each. `common.py` has what they share; `deploy/cli.py` puts them together."""
