"""The two doors: plain NumPy functions and index-notation strings."""
