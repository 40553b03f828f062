"""Plans as tables, derivations and other things a person reads."""
