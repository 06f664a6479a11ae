// pool/lp_pool.cu: power mean over sliding windows, without the division, and its gradient.
//
// Computes   y[n,c,o,p,q] = S^(1/e) with S = sum over the window (o,p,q) of x[n,c,d,h,w]^e;
//            dx[n,c,d,h,w] = x^(e-1) * sum of dy * y^(1-e) over the windows on (d,h,w).
//            Padding is zero. Of a window that ceil mode lets hang over the padded x, S is scaled up
//            by the part that is missing
// Layout     x, y, dy any strides; results contiguous, with the channels first or last. 1 and 2
//            spatial axes are 3 of which the others have extent 1
// Launch     lp_pool, lp_pool_backward: a block a tile of results; block 256; shared memory for the
//            sources of the tile, their spans and their counts, 48 kB at most
//            *_direct: one thread an element of the result; block 256; no shared memory
// Traffic    |x| + |y|, backward |dy| + |y| + |x| + |dx| bytes, and what neighbouring tiles share
//            twice; direct: once for every window. A power an element of x and of y in tiles
// Range      any extents, 64-bit index arithmetic. As in PyTorch x enters with its sign: a negative
//            S gives NaN unless e is 1. Where y is zero no gradient flows
// Siblings   avg_pool.cu
// Source     Sermanet, Chintala, LeCun: Convolutional neural networks applied to house numbers digit
//            classification, 2012
//
// entry lp_pool                  norm of every window, in tiles
// entry lp_pool_direct           the same, every window read on its own
// entry lp_pool_backward         gradient with respect to x, gathered, deterministic, in tiles
// entry lp_pool_backward_direct  the same, every element gathering on its own
// variant SCALAR = floating
#include <pycnn/pool_tile.cuh>

__device__ __forceinline__ acc_t power(acc_t x, acc_t exponent) {
    if (exponent == 0) return 1;
    if (exponent == 1) return x;
    if (exponent == 2) return x * x;
    if (exponent == -1) return 1 / x;
    if (exponent == acc_t(0.5)) return sqrt(x);
    return pow(x, exponent);
}

// What a sum over `count` elements is multiplied with to stand for the whole window.
__device__ __forceinline__ acc_t completed(const Pool& p, acc_t count) {
    const index_t taps = p.axis[0].kernel * p.axis[1].kernel * p.axis[2].kernel;
    return p.divisor ? acc_t(1) : static_cast<acc_t>(taps) / count;
}

// dy for a unit of dS, but for x^(e-1); no gradient flows through a sum of zero.
__device__ __forceinline__ acc_t slope(acc_t y, acc_t norm) {
    return y == 0 ? acc_t(0) : power(y, 1 - norm);
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
lp_pool(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, double norm, Pool p) {
    extern __shared__ unsigned long long memory[];
    const Tile<false> tile(p);
    Span<int>* spans = reinterpret_cast<Span<int>*>(memory);
    const WindowCounts counts(spans + tile.spans(), tile.results);
    acc_t* sX = static_cast<acc_t*>(counts.end());
    const acc_t e = static_cast<acc_t>(norm);
    tile.find_spans(spans);
    counts.find(p, tile.result);
    tile.load(x, p.operand[0], sX, [=](scalar_t value) { return power(to_acc(value), e); });
    __syncthreads();

    tile.each_result(y, [&](const Coord& at, index_t out) {
        acc_t sum = 0;
        tile.each_source(spans, at, [&](int number, int, int, int) { sum += sX[number]; });
        sum *= completed(p, counts.of(p, at.at[0], at.at[1], at.at[2]));
        y[out] = from_acc(power(sum, 1 / e));
    });
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
lp_pool_direct(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, double norm, Pool p) {
    const Single<false> one(p);
    if (!one.there) return;
    const PoolStrides& s = p.operand[0];
    const scalar_t* plane = one.begin(x, s);
    const acc_t e = static_cast<acc_t>(norm);
    acc_t sum = 0;
    one.each_source([&](index_t i, index_t j, index_t k) {
        sum += power(to_acc(ldg(plane + one.offset(s, i, j, k))), e);
    });
    sum *= completed(p, count_of(p, one.at[0], one.at[1], one.at[2]));
    y[one.number] = from_acc(power(sum, 1 / e));
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
lp_pool_backward(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                 const scalar_t* __restrict__ x, scalar_t* __restrict__ dx, double norm, Pool p,
                 PoolStrides of_x) {
    extern __shared__ unsigned long long memory[];
    const Tile<true> tile(p);
    Span<int>* spans = reinterpret_cast<Span<int>*>(memory);
    const WindowCounts counts(spans + tile.spans(), tile.sources);
    acc_t* sSlopes = static_cast<acc_t*>(counts.end());
    acc_t* sDy = sSlopes + tile.sources.size();
    const acc_t e = static_cast<acc_t>(norm);
    tile.find_spans(spans);
    counts.find(p, tile.source);
    tile.load(y, p.operand[1], sSlopes, [=](scalar_t value) { return slope(to_acc(value), e); });
    tile.load(dy, p.operand[0], sDy, [](scalar_t value) { return to_acc(value); });
    __syncthreads();

    tile.each_result(dx, [&](const Coord& at, index_t out) {
        acc_t sum = 0;
        tile.each_source(spans, at, [&](int number, int i, int j, int k) {
            sum += sDy[number] * sSlopes[number] * completed(p, counts.of(p, i, j, k));
        });
        const acc_t own = to_acc(ldg(x + tile.offset(of_x, tile.result, at)));
        dx[out] = from_acc(sum * power(own, e - 1));
    });
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, sizeof(scalar_t) > 4 ? 1 : 2)
lp_pool_backward_direct(const scalar_t* __restrict__ dy, const scalar_t* __restrict__ y,
                        const scalar_t* __restrict__ x, scalar_t* __restrict__ dx, double norm,
                        Pool p, PoolStrides of_x) {
    const Single<true> one(p);
    if (!one.there) return;
    const PoolStrides &s = p.operand[0], &t = p.operand[1];
    const scalar_t *above = one.begin(dy, s), *after = one.begin(y, t);
    const acc_t e = static_cast<acc_t>(norm);
    acc_t sum = 0;
    one.each_source([&](index_t i, index_t j, index_t k) {
        sum += to_acc(ldg(above + one.offset(s, i, j, k))) *
               slope(to_acc(ldg(after + one.offset(t, i, j, k))), e) *
               completed(p, count_of(p, i, j, k));
    });
    const scalar_t* own = one.begin(x, of_x) + one.offset(of_x, one.at[0], one.at[1], one.at[2]);
    dx[one.number] = from_acc(sum * power(to_acc(ldg(own)), e - 1));
}
