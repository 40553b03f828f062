"""Nouns: the closed einsum notation, the node types and walks over them."""
