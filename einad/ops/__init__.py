"""One row per operation: pointwise table, reductions, structured operands."""
