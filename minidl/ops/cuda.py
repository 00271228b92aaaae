"""The kernels for "cuda": importing this module notes all of them in the op table.

Of several variants of an op the one that is noted first is the best, so imports have an order.
"""

from .conv2d import cuda_implicit_gemm as _implicit_gemm  # noqa: F401 isort: skip
from .matmul import cuda_mma as _mma  # noqa: F401 isort: skip

from .affine_warp import cuda as _affine_warp  # noqa: F401
from .batchnorm import cuda as _batchnorm  # noqa: F401
from .batchnorm import cuda_gradient as _batchnorm_gradient  # noqa: F401
from .batchnorm import cuda_statistics as _statistics  # noqa: F401
from .conv2d import cuda as _conv2d  # noqa: F401
from .dropout import cuda as _dropout  # noqa: F401
from .embedding import cuda as _embedding  # noqa: F401
from .fused import cuda as _fused  # noqa: F401
from .layernorm import cuda as _layernorm  # noqa: F401
from .lrn import cuda as _lrn  # noqa: F401
from .matmul import cuda as _matmul  # noqa: F401
from .max_norm import cuda as _max_norm  # noqa: F401
from .pointwise import cuda as _pointwise  # noqa: F401
from .pool import cuda as _pool  # noqa: F401
from .reduce import cuda as _reduce  # noqa: F401
from .softmax_cross_entropy import cuda as _softmax  # noqa: F401
from .update import cuda as _update  # noqa: F401
from .update import cuda_many as _many  # noqa: F401
from .update import cuda_unscale as _unscale  # noqa: F401
from .view import cuda as _view  # noqa: F401
