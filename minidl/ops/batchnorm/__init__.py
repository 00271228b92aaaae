"""Batch normalisation and group normalisation."""
