// pool/avg_pool.cu: mean or sum over sliding or adaptive windows, and its gradient as a gather.
//
// Computes   y[n,c,o,p,q] = 1/m(o,p,q) * sum over the window (o,p,q) of x[n,c,d,h,w], padding as 0;
//            dx[n,c,d,h,w] = sum of dy[n,c,o,p,q] / m(o,p,q) over the windows on (d,h,w)
// Layout     x, dy any strides; results contiguous, with the channels first or last. 1 and 2
//            spatial axes are 3 of which the others have extent 1
// Launch     avg_pool, avg_pool_backward: a block a tile of results; block 256; shared memory for
//            the sources of the tile, their spans and their counts, 48 kB at most
//            *_direct: one thread an element of the result; block 256; no shared memory
// Traffic    |x| + |y|, backward |dy| + |dx| bytes, and what neighbouring tiles share twice;
//            direct: once for every window. An addition a tap
// Range      any extents, 64-bit index arithmetic. The divisor m counts the elements of x, with
//            count_include_pad those of the padding too, but never what ceil mode lets hang over
//            beyond it, and is 1 where that leaves none; a given divisor replaces it (1: a sum)
// Siblings   max_pool.cu; global_pool.cu where the only window is all of x
// Source     LeCun et al.: Gradient-based learning applied to document recognition, 1998
//
// entry avg_pool                  mean of every window, in tiles
// entry avg_pool_direct           the same, every window read on its own
// entry avg_pool_backward         gradient with respect to x, gathered, deterministic, in tiles
// entry avg_pool_backward_direct  the same, every element gathering on its own
// variant SCALAR = floating
#include <pycnn/pool_tile.cuh>

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
avg_pool(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Pool p) {
    extern __shared__ unsigned long long memory[];
    const Tile<false> tile(p);
    Span<int>* spans = reinterpret_cast<Span<int>*>(memory);
    const WindowCounts counts(spans + tile.spans(), tile.results);
    scalar_t* sX = reinterpret_cast<scalar_t*>(counts.end());
    tile.find_spans(spans);
    counts.find(p, tile.result);
    tile.load(x, p.operand[0], sX);
    __syncthreads();

    tile.each_result(y, [&](const Coord& at, index_t out) {
        acc_t sum = 0;
        tile.each_source(spans, at, [&](int number, int, int, int) { sum += to_acc(sX[number]); });
        y[out] = from_acc(sum / counts.of(p, at.at[0], at.at[1], at.at[2]));
    });
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
avg_pool_direct(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, Pool p) {
    const Single<false> one(p);
    if (!one.there) return;
    const PoolStrides& s = p.operand[0];
    const scalar_t* plane = one.begin(x, s);
    acc_t sum = 0;
    one.each_source([&](index_t i, index_t j, index_t k) {
        sum += to_acc(ldg(plane + one.offset(s, i, j, k)));
    });
    y[one.number] = from_acc(sum / count_of(p, one.at[0], one.at[1], one.at[2]));
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
avg_pool_backward(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Pool p) {
    extern __shared__ unsigned long long memory[];
    const Tile<true> tile(p);
    Span<int>* spans = reinterpret_cast<Span<int>*>(memory);
    const WindowCounts counts(spans + tile.spans(), tile.sources);
    scalar_t* sDy = reinterpret_cast<scalar_t*>(counts.end());
    tile.find_spans(spans);
    counts.find(p, tile.source);
    tile.load(dy, p.operand[0], sDy);
    __syncthreads();

    tile.each_result(dx, [&](const Coord& at, index_t out) {
        acc_t sum = 0;
        tile.each_source(spans, at, [&](int number, int i, int j, int k) {
            const acc_t value = to_acc(sDy[number]);
            sum += p.divisor ? value : value / counts.of(p, i, j, k);
        });
        dx[out] = from_acc(p.divisor ? sum / static_cast<acc_t>(p.divisor) : sum);
    });
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
avg_pool_backward_direct(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, Pool p) {
    const Single<true> one(p);
    if (!one.there) return;
    const PoolStrides& s = p.operand[0];
    const scalar_t* plane = one.begin(dy, s);
    acc_t sum = 0;
    one.each_source([&](index_t i, index_t j, index_t k) {
        sum += to_acc(ldg(plane + one.offset(s, i, j, k))) / count_of(p, i, j, k);
    });
    dx[one.number] = from_acc(sum);
}
