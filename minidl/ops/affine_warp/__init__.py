"""Affine warps of images."""
