"""Training: compile, fit, losses, metrics, callbacks, files, and looking into a run."""
