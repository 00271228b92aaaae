"""The op table; importing this package fills it."""

from . import pointwise, view  # noqa: F401
from .affine_warp import op as _affine_warp  # noqa: F401
from .batchnorm import op as _batchnorm  # noqa: F401
from .conv1d import op as _conv1d  # noqa: F401
from .conv2d import op as _conv2d  # noqa: F401
from .conv_transpose import op as _conv_transpose  # noqa: F401
from .dropout import op as _dropout  # noqa: F401
from .embedding import op as _embedding  # noqa: F401
from .fused import batch_norm as _fused_batch_norm  # noqa: F401
from .fused import op as _fused  # noqa: F401
from .layernorm import op as _layernorm  # noqa: F401
from .lrn import op as _lrn  # noqa: F401
from .matmul import op as _matmul  # noqa: F401
from .max_norm import op as _max_norm  # noqa: F401
from .pool import op as _pool  # noqa: F401
from .pool import op1d as _pool1d  # noqa: F401
from .reduce import op as _reduce  # noqa: F401
from .softmax_cross_entropy import op as _softmax  # noqa: F401
from .transfer import op as _transfer  # noqa: F401
from .update import many as _many  # noqa: F401
from .update import op as _update  # noqa: F401
from .update import unscale as _unscale  # noqa: F401
