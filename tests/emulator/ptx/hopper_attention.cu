// Attention of 64 queries by one warpgroup: the scores are sums of wgmma, become operands in
// registers, and while their product with V is under way the next scores are, too.
//
// BUG plants one mistake; what each is stands where it is made.
#ifndef BUG
#define BUG 0
#endif
#include <cuda_fp16.h>

typedef unsigned long long u64;
typedef unsigned u32;

constexpr int kTile = 64;  // queries, keys of a step, and numbers of each
constexpr float kNone = -1e30f;  // a score that weighs nothing
constexpr int kBytes = kTile * kTile * 2;

#define LIST32                                                                                      \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "  \
    "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define SUMS(d)                                                                                    \
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]),    \
        "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]),  \
        "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]),  \
        "+f"(d[29]), "+f"(d[30]), "+f"(d[31])

__device__ u64 descriptor(const void* tile) {
    u64 address = (u32)__cvta_generic_to_shared(tile);
    return ((address & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | (u64)1 << 62;
}
__device__ void fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int pending>
__device__ void wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

// Scores of the queries with the keys of a tile.
__device__ void scores(float (&s)[32], const char* q, const char* k) {
    u64 a = descriptor(q), b = descriptor(k);
    for (int j = 0; j < 4; ++j)
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 " LIST32
                     ", %32, %33, p, 1, 1, 0, 0;\n}\n"
                     : SUMS(s)
                     : "l"(a + 2 * j), "l"(b + 2 * j), "r"(j));
}

// Adds the product of weights in registers and V, whose lines are along the other axis.
__device__ void values(float (&o)[32], const u32 (&p)[16], const char* v) {
    u64 b = descriptor(v);
    for (int j = 0; j < 4; ++j)
        asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 " LIST32
                     ", {%32, %33, %34, %35}, %36, p, 1, 1, 1;\n}\n"
                     : SUMS(o)
                     : "r"(p[4 * j]), "r"(p[4 * j + 1]), "r"(p[4 * j + 2]), "r"(p[4 * j + 3]),
                       "l"(b + 128 * j));
}

// A tile of rows, each of 64 numbers, swizzled by 128 bytes; zeros behind the last row.
__device__ void fill(char* tile, const __half* from, int rows) {
    for (int i = threadIdx.x; i < kTile * 8; i += 128) {
        int row = i / 8, piece = i % 8;
        uint4 x = make_uint4(0, 0, 0, 0);
        if (row < rows) x = ((const uint4*)from)[i];
        *(uint4*)(tile + row * 128 + (piece ^ row % 8) * 16) = x;
    }
}

__device__ float across(float x, bool sum) {
    for (int i = 1; i < 4; i *= 2) {
        float y = __shfl_xor_sync(0xffffffff, x, i);
        x = sum ? x + y : fmaxf(x, y);
    }
    return x;
}

// Of scores the weights, as the operand that the next product takes. What was summed so far shrinks
// by `scale`.
__device__ void weights(float (&s)[32], u32 (&p)[16], int keys, float (&most)[2], float (&sum)[2],
                        float (&scale)[2]) {
    for (int h = 0; h < 2; ++h) {
        float top = most[h];
        for (int i = 0; i < 32; ++i) {
            if ((i >> 1 & 1) != h) continue;
            if (i / 4 * 8 + threadIdx.x % 4 * 2 + (i & 1) >= keys) s[i] = kNone;
            top = fmaxf(top, s[i]);
        }
        top = across(top, false);
        scale[h] = __expf(most[h] - top);
        most[h] = top;
        float part = 0;
        for (int i = 0; i < 32; ++i)
            if ((i >> 1 & 1) == h) part += s[i] = __expf(s[i] - top);
        sum[h] = sum[h] * scale[h] + across(part, true);
    }
    for (int i = 0; i < 16; ++i) {
        __half2 pair = __floats2half2_rn(s[2 * i], s[2 * i + 1]);
        p[i] = *(u32*)&pair;
    }
}

extern "C" __global__ void __launch_bounds__(128)
attention(const __half* q, const __half* k, const __half* v, float* out, int keys) {
    extern __shared__ __align__(1024) char memory[];
    char* tile_q = memory;
    auto tile_k = [&](int i) { return memory + (1 + i % 2) * kBytes; };
    auto tile_v = [&](int i) { return memory + (3 + i % 2) * kBytes; };
    auto ready = [&] {
        if (BUG != 3) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // 3: no fence
        __syncthreads();
    };
    int steps = (keys + kTile - 1) / kTile;
    float o[32], s[32], next[32], most[2] = {kNone, kNone}, sum[2] = {0, 0}, scale[2];
    u32 p[16];
    for (int i = 0; i < 32; ++i) o[i] = 0;
    fill(tile_q, q, kTile);
    fill(tile_k(0), k, keys);
    fill(tile_v(0), v, keys);
    ready();
    fence();
    scores(s, tile_q, tile_k(0));
    commit();
    wait<0>();
    weights(s, p, keys, most, sum, scale);
    for (int j = 0; j + 1 < steps; ++j) {
        int begin = (j + 1) * kTile;
        fill(tile_k(j + 1), k + begin * kTile, keys - begin);
        fill(tile_v(j + 1), v + begin * kTile, keys - begin);
        ready();
        fence();
        scores(next, tile_q, tile_k(j + 1));
        commit();
        values(o, p, tile_v(j));
        commit();
        wait<1>();
        if (BUG == 2) fill(tile_v(j), v, keys);  // 2: written again while it is read
        u32 weighed[16];
        weights(next, weighed, keys - begin, most, sum, scale);
        if (BUG != 1) wait<0>();  // 1: sums are scaled before they are there
        for (int i = 0; i < 32; ++i) o[i] *= scale[i >> 1 & 1];
        if (BUG == 1) wait<0>();
        for (int i = 0; i < 16; ++i) p[i] = weighed[i];
        __syncthreads();
    }
    if (BUG != 4) fence();  // 4: no fence behind the scaling
    values(o, p, tile_v(steps - 1));
    commit();
    wait<0>();
    int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    for (int i = 0; i < 32; ++i)
        out[(row + (i >> 1 & 1) * 8) * kTile + i / 4 * 8 + threadIdx.x % 4 * 2 + (i & 1)] =
            o[i] / sum[i >> 1 & 1];
}
