"""Where programs run: NumPy, and the slow reference evaluator."""
