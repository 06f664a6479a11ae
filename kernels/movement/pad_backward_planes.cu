// movement/pad_backward_planes.cu: gradient of padding of rows and columns by elements of x, where at most
// two positions of either axis stand for an element.
//
// Computes   as pad_backward.cu
// Layout     dy (planes, height, width), its planes contiguous and any stride apart; dx contiguous
// Launch     a plane a block, block 128; shared: a plane of dy, from where its vector of 16 bytes begins
// Traffic    |dy| + |dx| bytes; loads of 16 bytes, and stores where rows of dx are whole vectors
// Range      planes that shared memory holds; fewer than 2^31 planes; 64-bit offsets; deterministic
// Siblings   pad_backward.cu takes all others
// Source     as pad_backward.cu
//
// entry pad_backward_planes  what has several copies is summed up where one of them lies
// variant SCALAR = floating
#include <pycnn/async_copy.cuh>
#include <pycnn/block.cuh>
#include <pycnn/lattice.cuh>

constexpr int THREADS = 128, MANY = 16 / sizeof(scalar_t);

// Elements of an axis that a second position stands for: `count` from `first` on, i + sign * element.
struct Edge {
    index_t first, count, other;
};

struct FoldedAxis {
    index_t extent, padded, before, sign;
    Edge edge[2];
};

struct FoldedPlanes {
    index_t stride;  // of planes of dy
    FoldedAxis rows, columns;
};

// An axis, in registers.
struct Folded {
    int extent, padded, before, sign, first[2], count[2], other[2];

    __device__ __forceinline__ explicit Folded(const FoldedAxis& a)
        : extent(static_cast<int>(a.extent)),
          padded(static_cast<int>(a.padded)),
          before(static_cast<int>(a.before)),
          sign(static_cast<int>(a.sign)) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            first[e] = static_cast<int>(a.edge[e].first);
            count[e] = static_cast<int>(a.edge[e].count);
            other[e] = static_cast<int>(a.edge[e].other);
        }
    }
    __device__ __forceinline__ int edges() const { return count[0] + count[1]; }

    // Element number e of those that have two positions.
    __device__ __forceinline__ int operator[](int e) const {
        return e < count[0] ? first[0] + e : first[1] + e - count[0];
    }
    // The second position of an element; negative: it has none.
    __device__ __forceinline__ int second(int i) const {
        return inside(i - first[0], count[0])   ? other[0] + sign * i
               : inside(i - first[1], count[1]) ? other[1] + sign * i
                                                : -1;
    }
};

extern "C" __global__ void __launch_bounds__(THREADS)
pad_backward_planes(const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, FoldedPlanes v) {
    extern __shared__ __align__(16) unsigned char shared[];
    const Folded rows(v.rows), columns(v.columns);
    const int thread = static_cast<int>(threadIdx.x), width = columns.padded;
    dy += static_cast<index_t>(blockIdx.x) * v.stride;
    dx += static_cast<index_t>(blockIdx.x) * rows.extent * columns.extent;

    const int skew = static_cast<int>(reinterpret_cast<unsigned long long>(dy) / sizeof(scalar_t) % MANY);
    const int end = skew + rows.padded * width;
    scalar_t* const sDy = reinterpret_cast<scalar_t*>(shared);
    for (int t = thread * MANY; t < end; t += THREADS * MANY) {
        if (t >= skew && t + MANY <= end)
            copy_async<16>(sDy + t, dy - skew + t);
        else
            for (int k = 0; k < MANY; ++k)
                if (t + k >= skew && t + k < end) sDy[t + k] = dy[t + k - skew];
    }
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();

    // No element is read that is another's: sums stay where one of the copies was.
    scalar_t* const own = sDy + skew + rows.before * width + columns.before;
    const scalar_t* const all = sDy + skew;
    {
        const Lattice at(columns.extent, THREADS);
        for (int e = at.row; e < rows.edges(); e += at.down) {
            const int r = rows[e];
            const scalar_t* const other = all + rows.second(r) * width;
            for (int c = at.column; c < columns.extent; c += at.across) {
                scalar_t* const to = own + r * width + c;
                acc_t sum = to_acc(*to) + to_acc(other[columns.before + c]);
                const int second = columns.second(c);
                if (second >= 0)
                    sum += to_acc(all[(rows.before + r) * width + second]) + to_acc(other[second]);
                *to = from_acc(sum);
            }
        }
    }
    if (columns.edges() > 0) {
        const Lattice at(columns.edges(), THREADS);
        for (int e = at.column; e < columns.edges(); e += at.across) {
            const int c = columns[e], second = columns.second(c) - columns.before;
            for (int r = at.row; r < rows.extent; r += at.down) {
                scalar_t* const row = own + r * width;
                if (rows.second(r) < 0) row[c] = from_acc(to_acc(row[c]) + to_acc(row[second]));
            }
        }
    }
    __syncthreads();

    if (columns.extent % MANY == 0 && aligned_to<scalar_t, MANY>(dx)) {
        const Lattice at(columns.extent / MANY, THREADS);
        for (int r = at.row; r < rows.extent; r += at.down)
            for (int c = at.column * MANY; c < columns.extent; c += at.across * MANY) {
                Block<scalar_t, MANY> block;
#pragma unroll
                for (int k = 0; k < MANY; ++k) block.at[k] = own[r * width + c + k];
                store_block(dx + r * columns.extent + c, block, true);
            }
    } else {
        const Lattice at(columns.extent, THREADS);
        for (int r = at.row; r < rows.extent; r += at.down)
            for (int c = at.column; c < columns.extent; c += at.across)
                dx[r * columns.extent + c] = own[r * width + c];
    }
}
