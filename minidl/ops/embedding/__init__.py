"""Embedding tables and one-hot rows."""
