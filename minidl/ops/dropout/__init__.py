"""Dropout with counter-based masks."""
