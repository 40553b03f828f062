"""The swap at work: sweeps, Jacobians, batching."""
