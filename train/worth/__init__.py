"""What sources and ranking stages would have been worth on requests of the past."""
