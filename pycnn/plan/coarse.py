"""Algorithms that round the factors of float32 products, which nothing takes but by their names."""

#: The spacing at 1 of what each rounds to.
COARSE = dict.fromkeys(
    ("tf32", "wgmma_tf32", "implicit_gemm_tf32", "implicit_gemm_wgmma_tf32"), 2.0**-10
)
