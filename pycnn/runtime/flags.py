"""How every compiler is told to compute.

The same for every kernel and architecture, and for each compiler as far as it can: IEEE division
and square root, denormal numbers kept, products and sums contracted to FMA. Never fast-math.
"""

_STANDARD = "-std=c++17"

#: Of NVRTC and of nvcc, which spell them alike.
DEVICE_FLAGS = (_STANDARD, "-ftz=false", "-prec-div=true", "-prec-sqrt=true", "-fmad=true")

#: Of NVRTC alone: NVRTC 12 takes a generic lambda in a kernel for a function of the host. NVRTC 13
#: gives the same machine code with it and without.
NVRTC_FLAGS = (*DEVICE_FLAGS, "--device-as-default-execution-space")

#: Of the host compiler, for the emulator. The rest is its default.
HOST_FLAGS = (_STANDARD, "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
