"""Mutants of the code that decides, and whether anything notices them."""
