"""What each committed picture of a bench says, and how it is drawn; `bench/plot.py` writes them."""
