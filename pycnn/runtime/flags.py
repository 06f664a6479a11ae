"""How every compiler is told to compute.

The same for every kernel and architecture, and for each compiler as far as it can: IEEE division
and square root, denormal numbers kept, products and sums contracted to FMA. Never fast-math.
"""

_STANDARD = "-std=c++17"

#: Of NVRTC and of nvcc, which spell them alike.
DEVICE_FLAGS = (_STANDARD, "-ftz=false", "-prec-div=true", "-prec-sqrt=true", "-fmad=true")

#: Of the host compiler, for the emulator. The rest is its default.
HOST_FLAGS = (_STANDARD, "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
