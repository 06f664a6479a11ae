"""Whether a GPU can be used here: the driver, CuPy and NVRTC, all of one CUDA generation.

What is missing is said in one line, with the one extra that helps.
"""

import ctypes
import importlib.util
from typing import Any

import numpy as np

from pycnn.runtime import extras, nvrtc
from pycnn.runtime.extras import MissingExtra, import_extra
from pycnn.runtime.target import arch_of

#: Libraries that CuPy loads when they are first used, and what needs them.
LIBRARIES = {
    "cublas": "the ceilings of the bench",
    "cufft": "the algorithm fft of a convolution",
}

#: All that a usable CuPy may lack.
PARTS = (*LIBRARIES, "bfloat16")

#: The oldest generation of CUDA for which there is an extra.
OLDEST = 12

#: The first versions of CuPy and NumPy with which CuPy has arrays of bfloat16.
BF16_CUPY, BF16_NUMPY = 14, "2.1.2"


def probe() -> tuple[bool, str]:
    """Whether a GPU can be used here, and what it is or what is missing."""
    try:
        cupy = import_cupy()
        compiler = nvrtc_beside(cupy)
    except MissingExtra as error:
        return False, str(error)
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
        properties = runtime.getDeviceProperties(0) if count else {}
    except runtime.CUDARuntimeError as error:
        return False, f"CuPy {cupy.__version__} finds no usable GPU: {error}"
    if not count:
        return False, f"CuPy {cupy.__version__} finds no GPU"
    name, arch = properties["name"].decode(), arch_of(cupy.cuda.Device(0).compute_capability)
    if arch not in nvrtc.supported_archs():
        first, *_, last = nvrtc.supported_archs()
        return False, f"NVRTC {compiler} compiles for {first} to {last}, not {name} ({arch})"
    more = f" and {count - 1} more" if count > 1 else ""
    lacking = "".join(f"; without {what}: {why}" for what, why in missing_parts(cupy).items())
    return True, (
        f"{name}{more}, driver for CUDA {text(runtime.driverGetVersion())}, "
        f"CuPy {cupy.__version__}, NVRTC {compiler}{lacking}"
    )


def nvrtc_beside(cupy: Any) -> str:
    """Version of NVRTC, which must be of the CUDA generation of CuPy, and the driver no older.

    Raises
    ------
    MissingExtra
        With the extra that fits the driver.
    """
    runtime = cupy.cuda.runtime
    built, driver = runtime.runtimeGetVersion() // 1000, runtime.driverGetVersion()
    if not driver:
        raise MissingExtra(f"CuPy {cupy.__version__} finds no driver of an NVIDIA GPU")
    if driver // 1000 < OLDEST:
        raise MissingExtra(
            f"the driver is for CUDA {text(driver)}; a GPU needs one for CUDA {OLDEST} or later"
        )
    if driver // 1000 < built:
        raise MissingExtra(
            f"CuPy {cupy.__version__} is built for CUDA {built}, the driver is for CUDA "
            f"{text(driver)}; uninstall cupy-cuda{built}x, then {install(driver // 1000)}"
        )
    try:
        compiler = nvrtc.version()
    except MissingExtra as error:
        raise MissingExtra(
            f"compiling for a GPU needs NVRTC for CUDA {built} ({_line(error.__cause__)}); "
            f"install it with: {install(built)}"
        ) from error
    if int(compiler.partition(".")[0]) != built:
        raise MissingExtra(
            f"CuPy {cupy.__version__} is built for CUDA {built}, but NVRTC is {compiler}; "
            f"install that of CUDA {built} with: {install(built)}"
        )
    return compiler


def missing_parts(cupy: Any) -> dict[str, str]:
    """What a usable CuPy lacks, and the extra that brings it: libraries, bfloat16."""
    hint = install(cupy.cuda.runtime.runtimeGetVersion() // 1000)
    missing = {}
    for name, purpose in LIBRARIES.items():
        try:
            getattr(cupy.cuda, name)
        except ImportError:
            missing[name] = f"{purpose} needs it; install it with: {hint}"
    reason = _no_bfloat16(cupy)
    return missing | (
        {"bfloat16": f"{reason}; install what it needs with: {hint}"} if reason else {}
    )


def _no_bfloat16(cupy: Any) -> str:
    """Why arrays of CuPy cannot be of bfloat16; empty if they can."""
    if int(cupy.__version__.partition(".")[0]) < BF16_CUPY:
        return f"CuPy has it from {BF16_CUPY} on, this is {cupy.__version__}"
    if np.lib.NumpyVersion(np.__version__) < BF16_NUMPY:
        return f"CuPy has it from NumPy {BF16_NUMPY} on, this is {np.__version__}"
    if importlib.util.find_spec("ml_dtypes") is None:
        return "ml_dtypes is not installed"
    return ""


def install(generation: int) -> str:
    """The command that installs what a GPU needs, for a generation of CUDA."""
    return extras.install(extra(generation))


def extra(generation: int) -> str:
    """Name of the extra for a generation of CUDA: there are two."""
    return "cuda12" if generation == OLDEST else "cuda13"


def driver_version() -> int:
    """CUDA version of the driver, such as 13020, asked without CuPy; 0 where there is none."""
    number = ctypes.c_int(0)
    try:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        return 0
    return number.value


def import_cupy() -> Any:
    """CuPy, or an error with the extra that fits the driver."""
    return import_extra("cupy", extra(driver_version() // 1000), "a GPU")


def text(number: int) -> str:
    """A version as CUDA numbers it.

    Examples
    --------
    >>> text(13020)
    '13.2'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def _line(error: object) -> str:
    """The first line of what an error says."""
    return str(error).strip().partition("\n")[0]
