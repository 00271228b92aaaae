"""Tensors that remember how they were computed, and the walk back that gives gradients."""
