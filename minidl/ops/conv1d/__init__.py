"""One-dimensional convolution."""
