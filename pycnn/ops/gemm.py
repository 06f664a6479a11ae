"""Products of matrices, and the fully connected layer."""

from typing import Any

from pycnn.define.gemm import BMM, BMM_BACKWARD, GEMM, MATMUL
from pycnn.define.gemm_int8 import MATMUL_INTEGER, QLINEAR_MATMUL
from pycnn.define.gemm_scaled import SCALED_MM
from pycnn.define.linear import LINEAR, LINEAR_BACKWARD
from pycnn.define.public import operation


@operation(GEMM)
def gemm(
    a: Any,
    b: Any,
    bias: Any = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    relu: bool = False,
    algo: str = "auto",
    out: Any = None,
) -> Any:
    """Matrix product a @ b + bias, through ReLU if asked.

    Parameters
    ----------
    a : array (M, K) or (B, M, K), any floating dtype
        Any strides: views are read where they lie.
    b : array (K, N) or (B, K, N)
        Of as many axes as `a`.
    bias : array (N,) or (M, 1), optional
        One value for each column, or one for each row.
    transpose_a, transpose_b : bool, default False
        Take `a` as (K, M), `b` as (N, K), with the batch in front.
    relu : bool, default False
        Finish with max(x, 0), in which NaN stays NaN.
    algo : str, default "auto"
        A rung of the ladder: ``"naive"``, ``"coalesced"``, ``"shared_tile"``,
        ``"register_tile"``, ``"vectorised"``, ``"double_buffered"``; of 16-bit dtypes
        ``"tensor_core"`` and, on sm_90a alone, ``"wgmma"``, which wants strides of whole 16 bytes;
        of float32 ``"ffma"``, which gives a thread 16x8 outputs, ``"tf32"``, which rounds every
        element to 11 bits, and ``"tf32x3"``, three products with the accuracy of float32; on
        sm_90a also ``"wgmma_tf32"``, which rounds and wants stride 1 along the sum
        (``transpose_b=True``, as a rule). ``"auto"`` takes the one that suits the shape and the
        GPU, and never rounds. The backend ``reference`` has one
        algorithm, its BLAS.
    out : array, optional
        Takes the result: contiguous, and apart from the operands in memory.

    Returns
    -------
    array (M, N) or (B, M, N), dtype of `a`
        With K = 0, the bias or zeros.

    References
    ----------
    J. Dongarra, J. Du Croz, S. Hammarling, I. Duff: A set of level 3 basic linear algebra
    subprograms, ACM TOMS 16(1), 1990.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> a, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [-5.0, 6.0]])
    >>> pycnn.gemm(a, b)
    array([[-7., 16.]])
    >>> pycnn.gemm(a, b, np.array([1.0, 1.0]), relu=True)
    array([[ 0., 17.]])
    """


@operation(MATMUL)
def matmul(a: Any, b: Any, *, out: Any = None) -> Any:
    """Product of matrices or vectors, over broadcast batch axes.

    Parameters
    ----------
    a : array (..., M, K) or (K,), any floating dtype
        Any strides: transposed and broadcast views are read where they lie.
    b : array (..., K, N) or (K,), same dtype
        A vector is a row on the left and a column on the right.
    out : array, optional
        Takes the result: contiguous, and apart from the operands in memory.

    Returns
    -------
    array (..., M, N), dtype of `a`
        Without M or N where `a` or `b` is a vector. With K = 0, zeros.

    References
    ----------
    As `gemm`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.matmul(np.ones((2, 1, 1, 3)), np.ones((5, 3, 4))).shape
    (2, 5, 1, 4)
    """


@operation(LINEAR)
def linear(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    activation: str | None = None,
    negative_slope: float = 0.01,
    out: Any = None,
) -> Any:
    """Fully connected layer: activation(x weight^T + bias).

    Parameters
    ----------
    x : array (..., in), any floating dtype
        Any strides.
    weight : array (out, in)
    bias : array (out,), optional
    activation : None, "relu", "relu6", "leaky_relu", "silu" or "sigmoid", default None
        Applied to the sums before they are stored.
    negative_slope : float, default 0.01
        Of leaky_relu; any other activation refuses one that is not the default.
    out : array, optional
        Takes the result: contiguous, and apart from the operands in memory.

    Returns
    -------
    array (..., out), dtype of `x`

    References
    ----------
    D. Rumelhart, G. Hinton, R. Williams: Learning representations by back-propagating errors,
    Nature 323, 1986.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> x, weight = np.array([1.0, 2.0]), np.array([[3.0, 1.0], [1.0, -1.0]])
    >>> pycnn.linear(x, weight, np.array([0.5, 0.5]), activation="relu")
    array([5.5, 0. ])
    """


@operation(LINEAR_BACKWARD)
def linear_backward(
    dy: Any, x: Any, weight: Any, *, needs: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Any, Any, Any]:
    """Gradients of `linear` without activation.

    Parameters
    ----------
    dy : array (..., out)
        Gradient with respect to the result.
    x, weight : array
        As given to `linear`.
    needs : (bool, bool, bool), default all
        Which of the gradients with respect to x, weight and bias to compute.

    Returns
    -------
    (dx, dweight, dbias) : arrays shaped as x, weight and (out,)
        None for those not needed.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> dy, x, weight = np.ones((2, 1)), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0]])
    >>> pycnn.linear_backward(dy, x, weight, needs=(False, True, True))
    (None, array([[4., 6.]]), array([2.]))
    """


@operation(BMM)
def bmm(a: Any, b: Any, *, out: Any = None) -> Any:
    """Products of two batches of matrices, one by one.

    Parameters
    ----------
    a : array (B, M, K), any floating dtype
        Any strides: transposed views are read where they lie.
    b : array (B, K, N), same dtype
        Of the same batch; `matmul` broadcasts.
    out : array, optional
        Takes the result: contiguous, and apart from the operands in memory.

    Returns
    -------
    array (B, M, N), dtype of `a`
        With K = 0, zeros.

    References
    ----------
    As `gemm`.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> pycnn.bmm(np.ones((2, 1, 3)), np.ones((2, 3, 1))).ravel()
    array([3., 3.])
    """


@operation(BMM_BACKWARD)
def bmm_backward(dy: Any, a: Any, b: Any, *, out: Any = None) -> tuple[Any, Any]:
    """Gradients of `bmm` with respect to both batches.

    Parameters
    ----------
    dy : array (B, M, N), same dtype
        Gradient with respect to the result. Any strides.
    a, b
        As given to `bmm`.
    out : array, optional
        Takes da: contiguous, shape of `a`, memory of its own.

    Returns
    -------
    (da, db) : array like a, array like b

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> a, b = np.ones((2, 1, 3)), np.ones((2, 3, 1))
    >>> pycnn.bmm_backward(np.full((2, 1, 1), 5.0), a, b)[0].ravel()
    array([5., 5., 5., 5., 5., 5.])
    """


@operation(SCALED_MM)
def scaled_mm(
    a: Any,
    b: Any,
    scale_a: Any,
    scale_b: Any,
    bias: Any = None,
    output_dtype: str = "bfloat16",
    *,
    algo: str = "auto",
    out: Any = None,
) -> Any:
    """Product of 8-bit floats with a scale each: scale_a * scale_b * (a @ b) + bias.

    Parameters
    ----------
    a : array (M, K), float8_e4m3fn or float8_e5m2 of ml_dtypes
        Any strides.
    b : array (K, N), likewise; one of the two is float8_e4m3fn
        Any strides; fastest as the transpose of a contiguous (N, K), as PyTorch has weights.
    scale_a, scale_b : array () or (1,), or NumPy scalar, float32
        What an element stands for, divided by its value. Their product is taken in float32.
    bias : array (N,), optional, dtype of the result
        One value for each column.
    output_dtype : {"bfloat16", "float16", "float32"}, default "bfloat16"
        Of the result, rounded once.
    algo : {"auto", "direct", "wgmma"}, default "auto"
        ``"wgmma"``, the tensor cores of sm_90a, wants stride 1 along K, of K > 1 terms, and
        multiples of 16 elements from a row of `a`, or column of `b`, to the next. ``"direct"`` has
        a thread an output. The backend ``reference`` has one algorithm.
    out : array, optional
        Takes the result: contiguous, and apart from the operands in memory.

    Returns
    -------
    array (M, N), `output_dtype`
        With K = 0, the bias or zeros.

    Notes
    -----
    Sums are kept in float32, in any order. Of what tensor cores of sm_90a add up, about 14 bits are
    said to be left (DeepSeek-AI: DeepSeek-V3 Technical Report, 2024, section 3.5), and nothing is
    done against it: PyTorch's ``use_fast_accum=True``. The emulator adds the 32 terms of an
    instruction exactly, and then rounds to float32.

    What a number becomes is for whoever makes the operands to say: ``x.astype(float8_e4m3fn)`` of
    ml_dtypes makes NaN, of float8_e5m2 infinity, of what is too large, where PyTorch's ``to`` may
    saturate instead: clip before.

    References
    ----------
    P. Micikevicius et al.: FP8 Formats for Deep Learning, 2022. PyTorch, ``torch._scaled_mm``.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> from ml_dtypes import float8_e4m3fn
    >>> a, b = np.ones((2, 3), float8_e4m3fn), np.full((3, 1), 2, float8_e4m3fn)
    >>> pycnn.scaled_mm(a, b, np.float32(0.5), np.float32(10), output_dtype="float32")
    array([[30.],
           [30.]], dtype=float32)
    """


@operation(MATMUL_INTEGER)
def matmul_integer(
    a: Any,
    b: Any,
    a_zero_point: Any = None,
    b_zero_point: Any = None,
    algo: str = "auto",
    *,
    out: Any = None,
) -> Any:
    """Product of 8-bit integers, exact in 32 bits (ONNX's MatMulInteger, PyTorch's ``_int_mm``).

    Parameters
    ----------
    a : array (M, K), int8 or uint8
        Any strides; M may be 0.
    b : array (K, N), int8 or uint8, whatever `a` is
        Any strides; fastest as the transpose of a contiguous (N, K).
    a_zero_point : array () or NumPy scalar, dtype of `a`, optional
        The integer that stands for zero, which is subtracted; by default 0.
    b_zero_point : array () or (N,), dtype of `b`, optional
        The same of `b`, or of every column.
    algo : {"auto", "direct", "implicit_gemm_mma", "wgmma"}, default "auto"
        A kernel: on the reference backend only ``"auto"``. ``"implicit_gemm_mma"``, on tensor
        cores, wants rows of `a` without gaps between terms, K a multiple of 16; ``"wgmma"``, those
        of sm_90a, the same of columns of `b`, multiples of 16 elements between rows, or columns,
        and no zero points.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (M, N), int32
        Modulo 2^32.

    References
    ----------
    ONNX, operator MatMulInteger, version 10.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> a, b = np.array([[11, 7]], np.uint8), np.array([[1], [2]], np.uint8)
    >>> pycnn.matmul_integer(a, b, np.uint8(12))
    array([[-11]], dtype=int32)
    """


@operation(QLINEAR_MATMUL)
def qlinear_matmul(
    a: Any,
    a_scale: Any,
    b: Any,
    b_scale: Any,
    y_scale: Any,
    y_zero_point: Any,
    a_zero_point: Any = None,
    b_zero_point: Any = None,
    bias: Any = None,
    algo: str = "auto",
    *,
    out: Any = None,
) -> Any:
    """Product of 8-bit integers that stand for reals, scaled back to 8 bits (ONNX's QLinearMatMul).

    ``y = saturate(rint((sum + bias) a_scale b_scale / y_scale) + y_zero_point)``, with the sum of
    `matmul_integer`; rounded half to even, all of it in double.

    Parameters
    ----------
    a, b, a_zero_point, b_zero_point, algo
        As in `matmul_integer`.
    a_scale, y_scale : array () or NumPy scalar, float32
    b_scale : array () or (N,), float32
        Of all, or of every column.
    y_zero_point : array () or NumPy scalar, int8 or uint8
        Its dtype is that of the result.
    bias : array (N,), int32, optional
        In units of ``a_scale b_scale``.
    out : array, optional
        Takes the result: contiguous, memory of its own.

    Returns
    -------
    array (M, N), dtype of `y_zero_point`

    References
    ----------
    ONNX, operator QLinearMatMul, version 10. B. Jacob et al.: Quantization and Training of Neural
    Networks for Efficient Integer-Arithmetic-Only Inference, 2018.

    Examples
    --------
    >>> import numpy as np, pycnn
    >>> a, b, one = np.array([[3, -5]], np.int8), np.array([[10], [4]], np.int8), np.float32(1)
    >>> pycnn.qlinear_matmul(a, one, b, np.float32(0.5), one, np.int8(-2))
    array([[3]], dtype=int8)
    """
