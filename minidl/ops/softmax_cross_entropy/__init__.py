"""Softmax, and cross-entropy taken from logits."""
