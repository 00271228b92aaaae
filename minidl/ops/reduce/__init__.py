"""Sums, means, extremes and variances over axes."""
