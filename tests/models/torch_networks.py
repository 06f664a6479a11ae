"""The networks of `pycnn.models`, written out in PyTorch from the papers.

Each takes its weights one after the other, as data meet them, and says which shapes they must have.
"""

from functools import partial

import torch
from torch.nn import functional as F


class Net:
    """Weights that are taken in turn, statistics and heads that are left behind."""

    def __init__(self, weights, width):
        self.weights, self.width = iter(weights), width
        self.statistics, self.heads = [], []

    def w(self, filters, multiple=1):
        return max(1, round(filters * self.width / multiple)) * multiple

    def take(self, *shape):
        weight = next(self.weights)
        assert tuple(weight.shape) == shape
        return weight

    def conv(self, x, k, size, stride=1, padding=0, groups=1, bias=True):
        r, s = (size, size) if isinstance(size, int) else size
        weight = self.take(k, x.shape[1] // groups, r, s)
        return F.conv2d(x, weight, self.take(k) if bias else None, stride, padding, 1, groups)

    def conv_relu(self, x, *args, **kwargs):
        return F.relu(self.conv(x, *args, **kwargs))

    def up(self, x, k, size, bias=False, **settings):
        weight = self.take(x.shape[1], k, size, size)
        return F.conv_transpose2d(x, weight, self.take(k) if bias else None, **settings)

    def norm(self, x, eps=1e-5):
        c = x.shape[1]
        mean, variance = torch.zeros(c, dtype=x.dtype), torch.ones(c, dtype=x.dtype)
        y = F.batch_norm(x, mean, variance, self.take(c), self.take(c), True, 0.1, eps)
        self.statistics += [mean, variance]
        return y

    def unit(self, x, *args, eps=1e-5, **kwargs):
        return F.relu(self.norm(self.conv(x, *args, bias=False, **kwargs), eps))

    def linear(self, x, k):
        return F.linear(x, self.take(k, x.shape[1]), self.take(k))

    def dense(self, x, hidden, classes):
        x = F.relu(self.linear(x.flatten(1), hidden))
        return self.linear(F.relu(self.linear(x, hidden)), classes)

    def pooled(self, x, classes):
        return self.linear(x.mean((2, 3)), classes)


def lenet5(n, x, padding=2):
    x = F.pad(x, (padding,) * 4, mode="replicate")
    x = F.max_pool2d(n.conv_relu(x, n.w(6), 5), 2)
    x = F.max_pool2d(n.conv_relu(x, n.w(16), 5), 2).flatten(1)
    x = F.relu(n.linear(x, n.w(120)))
    return n.linear(F.relu(n.linear(x, n.w(84))), 5)


def lenet5_1998(n, x):
    def squash(x):
        return 1.7159 * torch.tanh(2 / 3 * x)

    def subsample(x):
        return squash(n.conv(F.avg_pool2d(x, 2), x.shape[1], 1, groups=x.shape[1]))

    x = subsample(squash(n.conv(x, 6, 5)))
    seen = [sorted((i + j) % 6 for j in range(count)) for count in (3, 4) for i in range(6)]
    seen += [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], range(6)]
    kernels, bias = iter(n.take(60, 5, 5)), n.take(16)
    maps = [sum(F.conv2d(x[:, c : c + 1], next(kernels)[None, None]) for c in row) for row in seen]
    x = subsample(squash(torch.cat(maps, 1) + bias[:, None, None])).flatten(1)
    return n.linear(squash(n.linear(squash(n.linear(x, 120)), 84)), 5)


def alexnet(n, x):
    x = F.max_pool2d(n.conv_relu(x, n.w(64), 11, 4, 2), 3, 2)
    x = F.max_pool2d(n.conv_relu(x, n.w(192), 5, 1, 2), 3, 2)
    for filters in (384, 256, 256):
        x = n.conv_relu(x, n.w(filters), 3, 1, 1)
    return n.dense(F.max_pool2d(x, 3, 2), n.w(4096), 5)


def response_norm(x):
    return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)


def alexnet_two_towers(n, x):
    x = F.max_pool2d(response_norm(n.conv_relu(x, n.w(96, 2), 11, 4)), 3, 2)
    x = F.max_pool2d(response_norm(n.conv_relu(x, n.w(256, 2), 5, 1, 2, groups=2)), 3, 2)
    for filters, towers in ((384, 1), (384, 2), (256, 2)):
        x = n.conv_relu(x, n.w(filters, 2), 3, 1, 1, groups=towers)
    return n.dense(F.max_pool2d(x, 3, 2), n.w(4096), 5)


def zfnet(n, x):
    x = response_norm(F.max_pool2d(n.conv_relu(x, n.w(96), 7, 2, 1), 3, 2, ceil_mode=True))
    x = response_norm(F.max_pool2d(n.conv_relu(x, n.w(256), 5, 2), 3, 2, ceil_mode=True))
    for filters in (384, 384, 256):
        x = n.conv_relu(x, n.w(filters), 3, 1, 1)
    return n.dense(F.max_pool2d(x, 3, 2), n.w(4096), 5)


def vgg(n, x, stages):
    for filters, count in zip((64, 128, 256, 512, 512), stages, strict=True):
        for _ in range(count):
            x = n.conv_relu(x, n.w(filters), 3, 1, 1)
        x = F.max_pool2d(x, 2)
    return n.dense(x, n.w(4096), 5)


def googlenet(n, x):
    def inception(x, one, reduce3, three, reduce5, five, pool):
        a = n.conv_relu(x, n.w(one), 1)
        b = n.conv_relu(n.conv_relu(x, n.w(reduce3), 1), n.w(three), 3, 1, 1)
        c = n.conv_relu(n.conv_relu(x, n.w(reduce5), 1), n.w(five), 5, 1, 2)
        return torch.cat([a, b, c, n.conv_relu(F.max_pool2d(x, 3, 1, 1), n.w(pool), 1)], 1)

    def head(x):
        x = n.conv_relu(F.avg_pool2d(x, 5, 3), n.w(128), 1).flatten(1)
        n.heads.append(n.linear(F.relu(n.linear(x, n.w(1024))), 5))

    pool = partial(F.max_pool2d, kernel_size=3, stride=2, ceil_mode=True)
    x = F.local_response_norm(pool(n.conv_relu(x, n.w(64), 7, 2, 3)), 5)
    x = n.conv_relu(n.conv_relu(x, n.w(64), 1), n.w(192), 3, 1, 1)
    x = inception(pool(F.local_response_norm(x, 5)), 64, 96, 128, 16, 32, 32)
    x = inception(pool(inception(x, 128, 128, 192, 32, 96, 64)), 192, 96, 208, 16, 48, 64)
    head(x)
    x = inception(x, 160, 112, 224, 24, 64, 64)
    x = inception(x, 128, 128, 256, 24, 64, 64)
    x = inception(x, 112, 144, 288, 32, 64, 64)
    head(x)
    x = pool(inception(x, 256, 160, 320, 32, 128, 128))
    x = inception(x, 256, 160, 320, 32, 128, 128)
    return n.pooled(inception(x, 384, 192, 384, 48, 128, 128), 5)


def chain(n, x, *steps):
    """Units of Inception: (filters, size) that keep the extent, or (filters, size, stride)."""
    for filters, size, *stride in steps:
        around = (
            0 if stride else (size // 2 if isinstance(size, int) else (size[0] // 2, size[1] // 2))
        )
        x = n.unit(x, n.w(filters), size, stride[0] if stride else 1, around, eps=1e-3)
    return x


def mean_then(n, x, filters):
    mean = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return chain(n, mean, (filters, 1))


def inception_v4(n, x):
    c, halve = partial(chain, n), partial(F.max_pool2d, kernel_size=3, stride=2)
    x = c(x, (32, 3, 2), (32, 3, 1), (64, 3))
    x = torch.cat([halve(x), c(x, (96, 3, 2))], 1)
    long = (64, 1), (64, (7, 1)), (64, (1, 7)), (96, 3, 1)
    x = torch.cat([c(x, (64, 1), (96, 3, 1)), c(x, *long)], 1)
    x = torch.cat([n.unit(x, 2 * n.w(96), 3, 2, eps=1e-3), halve(x)], 1)
    for _ in range(4):
        parts = [mean_then(n, x, 96), c(x, (96, 1)), c(x, (64, 1), (96, 3))]
        x = torch.cat([*parts, c(x, (64, 1), (96, 3), (96, 3))], 1)
    x = torch.cat([halve(x), c(x, (384, 3, 2)), c(x, (192, 1), (224, 3), (256, 3, 2))], 1)
    for _ in range(7):
        parts = [mean_then(n, x, 128), c(x, (384, 1)), c(x, (192, 1), (224, (1, 7)), (256, (7, 1)))]
        ways = (192, 1), (192, (1, 7)), (224, (7, 1)), (224, (1, 7)), (256, (7, 1))
        x = torch.cat([*parts, c(x, *ways)], 1)
    parts = [halve(x), c(x, (192, 1), (192, 3, 2))]
    x = torch.cat([*parts, c(x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2))], 1)
    for _ in range(3):
        parts = [mean_then(n, x, 256), c(x, (256, 1))]
        for steps in ([(384, 1)], [(384, 1), (448, (1, 3)), (512, (3, 1))]):
            y = c(x, *steps)
            parts += [c(y, (256, (1, 3))), c(y, (256, (3, 1)))]
        x = torch.cat(parts, 1)
    return n.pooled(x, 5)


def inception_resnet_v2(n, x):
    c, halve = partial(chain, n), partial(F.max_pool2d, kernel_size=3, stride=2)

    def add(x, scale, *branches):
        joined = torch.cat([c(x, *steps) for steps in branches], 1)
        return x + scale * n.conv(joined, x.shape[1], 1)

    x = halve(c(x, (32, 3, 2), (32, 3, 1), (64, 3)))
    x = halve(c(x, (80, 1), (192, 3, 1)))
    parts = [c(x, (96, 1)), c(x, (48, 1), (64, 5)), c(x, (64, 1), (96, 3), (96, 3))]
    x = torch.cat([*parts, mean_then(n, x, 64)], 1)
    for _ in range(10):
        double = (32, 1), (48, 3), (64, 3)
        x = F.relu(add(x, 0.17, [(32, 1)], [(32, 1), (32, 3)], double))
    x = torch.cat([c(x, (384, 3, 2)), c(x, (256, 1), (256, 3), (384, 3, 2)), halve(x)], 1)
    for _ in range(20):
        x = F.relu(add(x, 0.10, [(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]))
    parts = [c(x, (256, 1), (384, 3, 2)), c(x, (256, 1), (288, 3, 2))]
    x = torch.cat([*parts, c(x, (256, 1), (288, 3), (320, 3, 2)), halve(x)], 1)
    for block in range(10):
        branches = [(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]
        x = add(x, 1.0, *branches) if block == 9 else F.relu(add(x, 0.20, *branches))
    return n.pooled(c(x, (1536, 1)), 5)


def basic(n, x, filters, stride):
    return n.norm(n.conv(n.unit(x, filters, 3, stride, 1), filters, 3, 1, 1, bias=False))


def bottleneck(n, x, filters, stride):
    x = n.unit(n.unit(x, filters, 1, stride), filters, 3, 1, 1)
    return n.norm(n.conv(x, 4 * filters, 1, bias=False))


def residual_stages(n, x, first, branch, counts, projects):
    for stage, count in enumerate(counts):
        for block in range(count):
            stride = 2 if stage and not block else 1
            y = branch(n, x, first * 2**stage, stride)
            if projects and y.shape != x.shape:
                x = n.norm(n.conv(x, y.shape[1], 1, stride, bias=False))
            elif y.shape != x.shape:
                x = x[:, :, ::stride, ::stride]
                x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            x = F.relu(x + y)
    return n.pooled(x, 5)


def resnet(n, x, branch, counts):
    x = F.max_pool2d(n.unit(x, n.w(64), 7, 2, 3), 3, 2, 1)
    return residual_stages(n, x, n.w(64), branch, counts, projects=True)


def cifar_resnet(n, x, depth):
    x = n.unit(x, n.w(16), 3, 1, 1)
    return residual_stages(n, x, n.w(16), basic, [(depth - 2) // 6] * 3, projects=False)


def cifar_plain(n, x, depth):
    x = n.unit(x, n.w(16), 3, 1, 1)
    for layer in range(depth - 2):
        stage, first = divmod(layer, (depth - 2) // 3)
        x = n.unit(x, n.w(16) * 2**stage, 3, 2 if stage and not first else 1, 1)
    return n.pooled(x, 5)


def densenet(n, x, counts):
    growth = n.w(32)
    x = F.max_pool2d(n.unit(x, 2 * growth, 7, 2, 3), 3, 2, 1)
    for block, count in enumerate(counts):
        if block:
            x = n.conv(F.relu(n.norm(x)), x.shape[1] // 2, 1, bias=False)
            x = F.avg_pool2d(x, 2)
        for _ in range(count):
            y = n.conv(F.relu(n.norm(x)), 4 * growth, 1, bias=False)
            y = n.conv(F.relu(n.norm(y)), growth, 3, 1, 1, bias=False)
            x = torch.cat([x, y], 1)
    return n.pooled(F.relu(n.norm(x)), 5)


def squeezenet(n, x):
    def fire(x, squeezed, expanded):
        x = n.conv_relu(x, n.w(squeezed), 1)
        ones = n.conv_relu(x, n.w(expanded), 1)
        return torch.cat([ones, n.conv_relu(x, n.w(expanded), 3, 1, 1)], 1)

    pool = partial(F.max_pool2d, kernel_size=3, stride=2, ceil_mode=True)
    x = pool(n.conv_relu(x, n.w(64), 3, 2))
    x = pool(fire(fire(x, 16, 64), 16, 64))
    x = pool(fire(fire(x, 32, 128), 32, 128))
    for squeezed in (48, 48, 64, 64):
        x = fire(x, squeezed, 4 * squeezed)
    return n.conv_relu(x, 5, 1).mean((2, 3))


def mobilenet(n, x):
    x = n.unit(x, n.w(32), 3, 2, 1)
    halving = {64: 1, 128: 2, 256: 2, 512: 2, 1024: 2}
    for filters, times in ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2)):
        for i in range(times):
            c = x.shape[1]
            x = n.unit(x, c, 3, halving[filters] if i == 0 else 1, 1, groups=c)
            x = n.unit(x, n.w(filters), 1)
    return n.pooled(x, 5)


def unet(n, x, levels):
    def double(x, filters):
        return n.conv_relu(n.conv_relu(x, filters, 3), filters, 3)

    def level(x, filters, below):
        x = double(x, filters)
        if below == 0:
            return x
        under = n.up(level(F.max_pool2d(x, 2), 2 * filters, below - 1), filters, 2, True, stride=2)
        off = (x.shape[2] - under.shape[2]) // 2
        across = x[:, :, off : off + under.shape[2], off : off + under.shape[3]]
        return double(torch.cat([across, under], 1), filters)

    return n.conv(level(x, n.w(64), levels), 5, 1)


def dcgan_generator(n, x, start, doublings, channels):
    filters = [n.w(128) * 2**i for i in reversed(range(doublings))]
    x = F.relu(n.norm(n.up(x[:, :, None, None], filters[0], start)))
    for outputs in filters[1:]:
        x = F.relu(n.norm(n.up(x, outputs, 4, stride=2, padding=1)))
    return torch.tanh(n.up(x, channels, 4, stride=2, padding=1))


def dcgan_discriminator(n, x):
    filters = n.w(128)
    x = F.leaky_relu(n.conv(x, filters, 4, 2, 1, bias=False), 0.2)
    while x.shape[2] % 2 == 0 and x.shape[2] > 4:
        filters *= 2
        x = F.leaky_relu(n.norm(n.conv(x, filters, 4, 2, 1, bias=False)), 0.2)
    return n.conv(x, 1, x.shape[2], bias=False).flatten(1)


DEEP = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
NETWORKS = {
    "lenet5": lenet5,
    "lenet5_32": partial(lenet5, padding=0),
    "lenet5_1998": lenet5_1998,
    "alexnet": alexnet,
    "alexnet_two_towers": alexnet_two_towers,
    "zfnet": zfnet,
    "vgg11": partial(vgg, stages=(1, 1, 2, 2, 2)),
    "vgg13": partial(vgg, stages=(2, 2, 2, 2, 2)),
    "vgg16": partial(vgg, stages=(2, 2, 3, 3, 3)),
    "vgg19": partial(vgg, stages=(2, 2, 4, 4, 4)),
    "googlenet": googlenet,
    "inception_v4": inception_v4,
    "inception_resnet_v2": inception_resnet_v2,
    "resnet18": partial(resnet, branch=basic, counts=(2, 2, 2, 2)),
    "resnet34": partial(resnet, branch=basic, counts=(3, 4, 6, 3)),
    **{f"resnet{d}": partial(resnet, branch=bottleneck, counts=c) for d, c in DEEP.items()},
    **{f"cifar_resnet{d}": partial(cifar_resnet, depth=d) for d in (20, 56, 110, 1202)},
    **{f"cifar_plain{d}": partial(cifar_plain, depth=d) for d in (20, 56)},
    "densenet121": partial(densenet, counts=(6, 12, 24, 16)),
    "densenet169": partial(densenet, counts=(6, 12, 32, 32)),
    "densenet201": partial(densenet, counts=(6, 12, 48, 32)),
    "squeezenet": squeezenet,
    "mobilenet": mobilenet,
    "unet": partial(unet, levels=2),
    "dcgan_generator": partial(dcgan_generator, start=4, doublings=3, channels=3),
    "dcgan_discriminator": dcgan_discriminator,
    "conditional_dcgan_generator": partial(dcgan_generator, start=7, doublings=2, channels=1),
    "conditional_dcgan_discriminator": dcgan_discriminator,
}


def run(name, width, weights, x, factors):
    """Results, gradients of the sum of results times factors, and running statistics."""
    leaves = [torch.tensor(w, requires_grad=True) for w in weights]
    leaf = torch.tensor(x, requires_grad=True)
    net = Net(leaves, width)
    results = [NETWORKS[name](net, leaf), *net.heads]
    assert next(net.weights, None) is None, "weights are left over"
    sum(
        (r * torch.tensor(f(r.shape))).sum() for r, f in zip(results, factors, strict=False)
    ).backward()
    return {
        "results": [r.detach().numpy() for r in results],
        "gradients": [leaf.grad.numpy(), *(w.grad.numpy() for w in leaves)],
        "statistics": [s.numpy() for s in net.statistics],
    }
