"""Requests kept with all that led to their answers: `logged.py` is what is kept of one, `file.py` how it lies in Parquet.

Who keeps them and makes them again is `deploy/replay/`; what ranking learns from them, `train/rank/logged.py`.
"""
