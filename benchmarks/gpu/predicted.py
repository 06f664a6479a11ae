"""What an audit of the machine code predicts for an H200. Nothing in this file was measured.

It counts the instructions and stalls of the main loops of commit 6b109c0 (NVRTC 13.5) and estimates
the rest, at 1.83 GHz, with 67 TFLOP/s of float32 multiply-adds from the datasheet and 4.3 TB/s of
copy that others measured. The speed of cuDNN is an assumption too. The page shows measured figures
beside these, so that the audit can be judged.
"""

SOURCE = "our own audit of the machine code (commit 6b109c0), not measured"

#: TFLOP/s of float32 multiply-adds, and TB/s of a copy, that the shares below are of.
FLOPS, COPY = 67.0, 4.3

#: Least and largest share of `FLOPS` by algorithm of a convolution, or of a matrix product.
COMPUTE = {
    "direct": (0.08, 0.08),
    "direct_tiled": (0.35, 0.42),
    "implicit_gemm": (0.35, 0.55),
    "im2col": (0.49, 0.69),
    "gemm_1x1": (0.49, 0.69),
    "double_buffered": (0.49, 0.69),
    "ffma": (0.49, 0.8),
}

#: Share of `COPY` by operation and bytes of an element.
MEMORY = {
    ("relu", 4): (0.85, 0.90), ("relu", 2): (0.85, 0.90),
    ("max_pool2d", 4): (0.45, 0.45), ("max_pool2d", 2): (0.22, 0.22),
    ("softmax", 4): (0.45, 0.80),
}  # fmt: skip

#: Speed as a multiple of cuDNN's by dtype and batch: geometric mean of a network's layers forward.
AGAINST_CUDNN = {
    ("resnet50", "float32"): {1: 0.32, 32: 0.60, 256: 0.63},
    ("resnet50", "bfloat16"): {1: 0.20, 32: 0.07, 256: 0.07},
    ("vgg16", "float32"): {1: 0.49, 32: 0.82, 256: 0.84},
    ("vgg16", "bfloat16"): {1: 0.06, 32: 0.06, 256: 0.06},
}

#: The same with cuDNN in TF32 and pycnn in float32.
AGAINST_TF32 = {"resnet50": {1: 0.22, 32: 0.17, 256: 0.16}}
