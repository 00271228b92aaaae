"""Vectors of a weight scaled down to a largest norm."""
