"""Cost, contraction paths and the Plan."""
