"""GPU kernels of the convolutions: importing this module notes all variants, the best first."""

from importlib import import_module

for _variant in ("depthwise", "im2col"):
    import_module(f"{__package__}.cuda_{_variant}")
