"""Every algorithm of every operation once, compared with the oracle, not timed."""

from pycnn.bench import record
from pycnn.bench.contestants import of_pycnn
from pycnn.bench.operations import OPERATIONS
from pycnn.bench.run import FULL, plan_rounds, run
from pycnn.bench.suites import Layer

#: Ragged problems on which every kernel runs once under the sanitizer, where they are not the
#: small cases of a definition.
RAGGED = {
    "conv2d": ("n2c6h13w17k10r3s3p1", "n3c6h11w9k4r3s2p1x0x2x1u2x1d1x2g2", "n2c5h7w9k11r1s1"),
    "max_pool2d": ("n2c3h13w17r3s2p1x0u2e1",),
    "avg_pool2d": ("n2c3h13w17r3s2p1x0u2e1",),
    "relu": ("n3c5h7w11",),
    "softmax": ("n7c1003", "n3c10"),
    "cross_entropy": ("n7c1003", "n3c10"),
    "gemm": ("m37n53k71", "m131n129k67"),
}

#: How many of those, and in which dtypes.
CASES, DTYPES = 3, ("float32", "float16")


def once(backend: str = "cuda") -> int:
    """Every algorithm of every operation once, compared with the oracle, not timed."""
    good = True
    for name, operation in OPERATIONS.items():
        words = RAGGED.get(name) or operation.small_cases()[:CASES]

        def contestants(case, direction, dtype, operation=operation):
            found = of_pycnn(backend, operation, case, direction, dtype)
            for contestant in found:
                contestant.device = None  # checked only
            return found

        layers = [Layer(word, operation.parse(word)) for word in words]
        for layer in layers:
            directions = operation.directions_of(layer.case)
            rounds = plan_rounds("ragged", operation, [layer], directions, DTYPES, contestants)
            for found, _ in run(rounds, FULL, {}):
                right = found.status in (record.CHECKED, record.SKIPPED)
                good &= right
                if not right:
                    print(f"{found.status}: {found.key}: {found.reason}")
    return 0 if good else 1
