"""How long a step of data-parallel training would take on many GPUs: an alpha-beta model.

The time of an all-reduce is a latency for each hop plus bytes over bandwidth, of the better of ring
and tree. Everything here is predicted; nothing was measured on such machines.

References
----------
R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective communication in MPICH", 2005:
costs of ring and tree. Latencies are those of NCCL 2.2x's own model for its protocol Simple
(src/graph/tuning.cc); the bandwidth over NVLink is what NVIDIA's engineers give for a ring on eight
H100 (nccl-tests, issue 212), that of the network the data sheet's of NDR InfiniBand.
"""

from math import log2
from typing import NamedTuple


class Network(NamedTuple):
    """Machines of GPUs, and what joins them.

    Attributes
    ----------
    name : str
    per_node : int
        GPUs of a machine.
    bandwidth, nic : float
        Bytes a second that a GPU sends while all do, to others of its machine and to the network.
    launch, hop, post, hop_between : float
        Seconds: of the launch, of a hop within a machine, what a hop takes at least once there is a
        network, and of a hop over it.
    """

    name: str
    per_node: int
    bandwidth: float
    nic: float
    launch: float = 8.4e-6
    hop: float = 3.4e-6
    post: float = 3.0e-6
    hop_between: float = 14.0e-6


#: Eight H100 or H200 with NVSwitch, a 400 Gbit/s port for each.
HGX = Network("HGX H100 or H200, NDR InfiniBand", 8, 370e9, 50e9)

#: Of a tree's bandwidth, what is left beside that of a ring.
_TREE = 0.92


def all_reduce(size: float, gpus: int, network: Network = HGX) -> tuple[float, str]:
    """Predicted seconds of the sum of `size` bytes over `gpus`, and by which algorithm.

    Parameters
    ----------
    size : float
        Bytes of each GPU.
    gpus : int
        1 and more; machines are filled one after the other.
    network : Network, optional

    Returns
    -------
    seconds : float
    algorithm : {"", "ring", "tree"}

    Raises
    ------
    ValueError
        If `gpus` is not positive, or `size` negative.

    Examples
    --------
    >>> seconds, algorithm = all_reduce(100e6, 8)
    >>> f"{seconds * 1e6:.0f} us by a {algorithm}"
    '529 us by a ring'
    >>> all_reduce(100e6, 1024)[1]
    'tree'
    """
    if gpus < 1 or size < 0:
        raise ValueError(f"size={size}, gpus={gpus}; allowed: 0 bytes and more on 1 GPU and more")
    if gpus == 1:
        return 0.0, ""
    nodes = -(-gpus // network.per_node)
    inside = min(gpus, network.per_node)
    rate = network.bandwidth if nodes == 1 else min(network.bandwidth, network.nic * inside)
    between = 2 * nodes if nodes > 1 else 0
    hop = network.hop if nodes == 1 else max(network.hop, network.post)
    ring = network.launch + (2 * (gpus - 1) - between) * hop + between * network.hop_between
    ring += 2 * (gpus - 1) / gpus * size / rate
    tree = network.launch + 2 * ((inside - 1) * hop + log2(nodes) * network.hop_between)
    tree += 2 * size / (rate * _TREE)
    return min((ring, "ring"), (tree, "tree"))


class Step(NamedTuple):
    """Predicted seconds of a step, by how gradients are added up."""

    compute: float
    reduce: float
    backward: float

    @property
    def after(self) -> float:
        """With gradients added up when all are there."""
        return self.compute + self.reduce

    @property
    def meanwhile(self) -> float:
        """With all that can be added up while the way back goes on: a bound."""
        return self.compute + max(0.0, self.reduce - self.backward)


def step(
    forward: float, parameters: int, gpus: int, *, itemsize: int = 4, network: Network = HGX
) -> Step:
    """A step whose forward pass takes `forward` seconds; the way back takes two of these.

    Parameters
    ----------
    forward : float
        Seconds, for the images of one GPU.
    parameters : int
        Of the model; gradients have `itemsize` bytes each.
    gpus : int
    itemsize : int, default 4
    network : Network, optional

    Examples
    --------
    >>> one, many = step(10e-3, 25_557_032, 1), step(10e-3, 25_557_032, 64)
    >>> f"{one.after / many.after:.2f} {one.after / many.meanwhile:.2f}"
    '0.98 1.00'
    """
    return Step(3 * forward, all_reduce(parameters * itemsize, gpus, network)[0], 2 * forward)
