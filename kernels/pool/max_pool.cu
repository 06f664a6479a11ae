// pool/max_pool.cu: maximum over sliding or adaptive windows, and its gradient as a gather.
//
// Computes   y[n,c,o,p,q] = max over the window (o,p,q) of x[n,c,d,h,w], padding as -inf; dx[n,c,d,h,w]
//            = sum of dy[n,c,o,p,q] over the windows whose index is (d*H + h)*W + w
// Layout     x, dy and the indices given to backward: any strides; results contiguous, with the
//            channels first or last. 1 and 2 spatial axes are 3 of which the others have extent 1
// Launch     max_pool, max_pool_backward: a block a tile of results; block 256; shared memory for
//            the sources of the tile and their spans, 48 kB at most
//            *_direct: one thread an element of the result; block 256; no shared memory
// Traffic    |x| + |y| (+ |indices|), backward |dy| + |indices| + |dx| bytes, and what neighbouring
//            tiles share twice; direct: once for every window. A comparison a tap
// Range      any extents, 64-bit index arithmetic. As in PyTorch the index is that of the first
//            maximum in row-major order, or of the last NaN. A window without any element of x
//            (dilation can step over it) gives -inf and index -1
// Siblings   avg_pool.cu. A scatter of dy would do less work where windows do not overlap, but
//            wants atomics where they do, and with them a sum in no fixed order
// Source     Ranzato et al.: Unsupervised learning of invariant feature hierarchies, 2007
//
// entry max_pool                  maximum of every window, optionally with its index, in tiles
// entry max_pool_direct           the same, every window read on its own
// entry max_pool_backward         gradient with respect to x, gathered, deterministic, in tiles
// entry max_pool_backward_direct  the same, every element gathering on its own
// variant SCALAR = floating
#include <pycnn/pool_tile.cuh>

struct Maximum {
    acc_t best = -limits<acc_t>::infinity();
    index_t at = -1;

    __device__ __forceinline__ void add(acc_t value, index_t index) {
        if (value > best || value != value || at < 0) {
            best = value;
            at = index;
        }
    }
};

__device__ __forceinline__ index_t index_in_plane(const Pool& p, index_t d, index_t h, index_t w) {
    return (d * p.axis[1].extent + h) * p.axis[2].extent + w;
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
max_pool(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, index_t* __restrict__ indices,
         Pool p) {
    extern __shared__ unsigned long long memory[];
    const Tile<false> tile(p);
    Span<int>* spans = reinterpret_cast<Span<int>*>(memory);
    scalar_t* sX = reinterpret_cast<scalar_t*>(spans + tile.spans());
    tile.find_spans(spans);
    tile.load(x, p.operand[0], sX);
    __syncthreads();

    tile.each_result(y, [&](const Coord& at, index_t out) {
        Maximum maximum;
        tile.each_source(spans, at, [&](int number, int i, int j, int k) {
            maximum.add(to_acc(sX[number]), index_in_plane(p, tile.source[0] + i,
                                                           tile.source[1] + j,
                                                           tile.source[2] + k));
        });
        y[out] = from_acc(maximum.best);
        if (indices) indices[out] = maximum.at;
    });
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
max_pool_direct(const scalar_t* __restrict__ x, scalar_t* __restrict__ y,
                index_t* __restrict__ indices, Pool p) {
    const Single<false> one(p);
    if (!one.there) return;
    const PoolStrides& s = p.operand[0];
    const scalar_t* plane = one.begin(x, s);
    Maximum maximum;
    one.each_source([&](index_t i, index_t j, index_t k) {
        maximum.add(to_acc(ldg(plane + one.offset(s, i, j, k))), index_in_plane(p, i, j, k));
    });
    y[one.number] = from_acc(maximum.best);
    if (indices) indices[one.number] = maximum.at;
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
max_pool_backward(const scalar_t* __restrict__ dy, const index_t* __restrict__ indices,
                  scalar_t* __restrict__ dx, Pool p) {
    extern __shared__ unsigned long long memory[];
    const Tile<true> tile(p);
    Span<int>* spans = reinterpret_cast<Span<int>*>(memory);
    index_t* sIndices = reinterpret_cast<index_t*>(spans + tile.spans());
    scalar_t* sDy = reinterpret_cast<scalar_t*>(sIndices + tile.sources.size());
    tile.find_spans(spans);
    tile.load(indices, p.operand[1], sIndices);
    tile.load(dy, p.operand[0], sDy);
    __syncthreads();

    tile.each_result(dx, [&](const Coord& at, index_t out) {
        const index_t mine = index_in_plane(p, tile.result[0] + at.at[0], tile.result[1] + at.at[1],
                                            tile.result[2] + at.at[2]);
        acc_t sum = 0;
        tile.each_source(spans, at, [&](int number, int, int, int) {
            if (sIndices[number] == mine) sum += to_acc(sDy[number]);
        });
        dx[out] = from_acc(sum);
    });
}

extern "C" __global__ void __launch_bounds__(POOL_THREADS, 1)
max_pool_backward_direct(const scalar_t* __restrict__ dy, const index_t* __restrict__ indices,
                         scalar_t* __restrict__ dx, Pool p) {
    const Single<true> one(p);
    if (!one.there) return;
    const PoolStrides &s = p.operand[0], &t = p.operand[1];
    const scalar_t* plane = one.begin(dy, s);
    const index_t* plane_indices = one.begin(indices, t);
    const index_t mine = index_in_plane(p, one.at[0], one.at[1], one.at[2]);
    acc_t sum = 0;
    one.each_source([&](index_t i, index_t j, index_t k) {
        if (ldg(plane_indices + one.offset(t, i, j, k)) == mine)
            sum += to_acc(ldg(plane + one.offset(s, i, j, k)));
    });
    dx[one.number] = from_acc(sum);
}
