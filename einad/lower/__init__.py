"""Pairwise steps become calls; a plan becomes a straight-line program."""
