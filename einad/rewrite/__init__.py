"""The laws, each a named function, and the engine that applies them."""
