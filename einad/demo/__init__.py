"""`einad demo`: a classifier of handwritten digits, from the printed derivatives of its layers to its accuracy."""
