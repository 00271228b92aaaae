"""The steps of the optimizers, each one op over all parameters."""
