"""Memory, threads and compilation: what kernels stand on. The kernel contract is in README.md."""
