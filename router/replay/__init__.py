"""Requests kept with all that led to their answers: `logged.py` is the record of a request, `file.py` its form in Parquet.

`deploy/replay/` keeps requests and answers them again; ranking learns from them in `train/rank/logged.py`.
"""
