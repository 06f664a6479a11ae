"""Cases, oracle and PyTorch's answer: local response normalisation."""

from typing import Any

import numpy as np

from pycnn.define import norm_response as define
from pycnn.define.operation import Arrays
from pycnn.reference.oracle import norm as oracle
from pycnn.testing._norm_rules import case, channels_last, channels_second
from pycnn.testing.reading import channel_axis
from pycnn.testing.tested import Settings, Tested, TestedGradient


class _Response(Tested, of=define._Response):
    def oracle(self, settings: Settings, arrays: Arrays) -> dict[str, np.ndarray]:
        s = self.meant(settings)
        how = s.size, s.alpha, s.beta, s.k, channel_axis(s.layout)
        if "dy" not in arrays:
            return {"y": oracle.local_response_norm(arrays["x"], *how)}
        dx = oracle.local_response_norm_backward(arrays["dy"], arrays["x"], *how)
        return {"dx": dx}

    def terms(self, settings: Settings, arrays: Arrays) -> int:
        return int(settings["size"])


class LocalResponseNorm(_Response, of=define.LocalResponseNorm):
    cases = (
        case("sequence", (2, 7, 5), size=3, alpha=0.5),
        case("even", (2, 6, 3, 5), size=4, alpha=2.0, beta=0.5, k=0.7),
        case("volumes", (2, 3, 3, 5, 2), size=5, alpha=1.0, beta=1.3),
        case("one", (2, 3, 5, 4), size=1, alpha=1.0, k=2.0),
        case("wider than x", (2, 3, 5, 4), size=9, alpha=1.0),
        case("many channels", (1, 131, 3, 2), size=5, alpha=1.0),
        case("nhwc", (2, 5, 7, 3), size=4, alpha=1.0, layout="NHWC"),
        case("nhwc tiles", (1, 2, 1, 1100), size=5, alpha=1.0, layout="NHWC"),
        case("empty", (0, 3, 4, 5), size=3),
        case("googlenet layer", (1, 64, 56, 56), size=5, standard=True),
        case("googlenet layer nhwc", (1, 56, 56, 64), size=5, layout="NHWC", standard=True),
    )

    def torch(self, tensors: Any, settings: Settings) -> dict[str, Any]:
        from torch.nn.functional import local_response_norm

        rest = {**settings}
        layout = rest.pop("layout", "NCHW")
        y = local_response_norm(channels_second(tensors["x"], layout), **rest)
        return {"y": channels_last(y, layout)}


class LocalResponseNormBackward(_Response, TestedGradient, of=define.LocalResponseNormBackward):
    """The same oracle, by its name."""
