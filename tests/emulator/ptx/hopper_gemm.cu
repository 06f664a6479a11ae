// C = A B^T in float16 with float32 sums, as Hopper kernels are built: one warpgroup loads tiles by
// TMA, two multiply them by wgmma; between them is a ring of stages with two mbarriers each.
//
// BUG plants one mistake; what each is stands where it is made. SCALE has the consumers change the
// tile of A in shared memory before they multiply it.
#ifndef BUG
#define BUG 0
#endif
#ifndef SCALE
#define SCALE 0
#endif

typedef unsigned long long u64;
typedef unsigned u32;
typedef unsigned short u16;

struct alignas(64) TensorMap {
    char bytes[128];
};

constexpr int kRows = 128, kColumns = 64, kDepth = 64, kStages = 3, kConsumers = 2;
constexpr u32 kBytesA = kRows * kDepth * 2, kBytesB = kColumns * kDepth * 2;
constexpr u32 kStage = kBytesA + kBytesB;

__device__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

__device__ void init(u64* barrier, u32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count)
                 : "memory");
}

__device__ void arrive(u64* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

__device__ void expect(u64* barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                     shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}

__device__ void wait(u64* barrier, u32 parity) {
    asm volatile(
        "{\n.reg .pred done;\nagain:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra again;\n}" ::"r"(
            shared_address(barrier)),
        "r"(parity)
        : "memory");
}

__device__ void load(void* to, const TensorMap* map, int k, int row, u64* barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(to)),
        "l"(map), "r"(k), "r"(row), "r"(shared_address(barrier))
        : "memory");
}

// Rows of 128 bytes in a pattern of eight, swizzled by 128 bytes.
__device__ u64 descriptor(const void* tile) {
    u64 address = shared_address(tile);
    u64 swizzle = BUG == 5 ? 2 : 1;  // 5: another swizzle than the tile was loaded with
    return ((address & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)(1024 >> 4) << 32 | swizzle << 62;
}

template <int pending>
__device__ void wait_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

__device__ void multiply(float (&d)[32], u64 a, u64 b, int add) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9,"
        " %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27,"
        " %28, %29, %30, %31}, %32, %33, p, 1, 1, 0, 0;\n}\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
          "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
          "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
          "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
          "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "l"(a), "l"(b), "r"(add));
}

// Exchanges the sign of a warpgroup's half of the tile of A.
__device__ void change(char* tile, int thread, int group) {
    u32* words = (u32*)tile;
    for (int i = thread; i < 64 * kDepth / 2; i += 128) words[i] ^= 0x80008000u;
    if (BUG != 14) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // 14: no fence
    if (BUG != 15)  // 15: no barrier of the warpgroup
        asm volatile("bar.sync %0, 128;" ::"r"(group + 1) : "memory");
}

extern "C" __global__ void __launch_bounds__(384)
gemm(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b, float* c, int m,
     int n, int k) {
    extern __shared__ __align__(1024) char memory[];
    __shared__ u64 full[kStages], empty[kStages];
    int group = threadIdx.x / 128, thread = threadIdx.x % 128;
    int row = blockIdx.y * kRows, column = blockIdx.x * kColumns, steps = (k + kDepth - 1) / kDepth;
    char* tiles = memory + (BUG == 6 ? 128 : 0);  // 6: tiles begin within their pattern
    if (threadIdx.x == 0) {
        for (int s = 0; s < kStages; ++s) {
            init(&full[s], 1);
            init(&empty[s], BUG == 8 ? 1 : kConsumers);  // 8: empty when one consumer is done
        }
        if (BUG != 18)  // 18: the copies may not see the barriers
            asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    if (BUG != 9) __syncthreads();  // 9: barriers are used before they are initialised

    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (thread != 0) return;
        for (int i = 0; i < steps; ++i) {
            int stage = i % kStages;
            char* tile = tiles + stage * kStage;
            if (BUG != 7)  // 7: a stage is filled again before it is empty
                wait(&empty[stage], (i / kStages + 1) % 2);
            expect(&full[stage], kStage + (BUG == 10 ? 16 : BUG == 11 ? -16 : 0));  // 10, 11: bytes
            load(tile, &map_a, i * kDepth, row, &full[stage]);
            load(tile + kBytesA, &map_b, i * kDepth, column, &full[stage]);
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        --group;
        float d[32];
        for (int i = 0; i < 32; ++i) d[i] = 0;
        for (int i = 0; i < steps; ++i) {
            int stage = i % kStages;
            char *tile = tiles + stage * kStage, *mine = tile + group * 64 * kDepth * 2;
            wait(&full[stage], (i / kStages + (BUG == 12 ? 1 : 0)) % 2);  // 12: the other phase
            if (SCALE) change(mine, thread, group);
            if (BUG != 1) asm volatile("wgmma.fence.sync.aligned;" ::: "memory");  // 1: no fence
            if (BUG == 13 && thread >= 96 && i == 1) continue;  // 13: a warp leaves one out
            u64 a = descriptor(mine), b = descriptor(tile + kBytesA);
            for (int j = 0; j < kDepth / 16; ++j) {
                u64 further = 2 * j + (BUG == 4 ? 2 * j : 0);  // 4: steps along K are too long
                multiply(d, a + further, b + further, 1);
            }
            if (BUG != 16) asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");  // 16
            wait_products<BUG == 3 ? 2 : 1>();  // 3: more may be under way than is released
            // The products before the last are done, and so is what they read.
            int done = i - (BUG == 17 ? 0 : 1);  // 17: released while it is read
            if (done >= 0 && thread == 0) arrive(&empty[done % kStages]);
        }
        if (BUG != 2) wait_products<0>();  // 2: sums are used before they are there
        if (SCALE)
            for (int i = 0; i < 32; ++i) d[i] = -d[i];
        int lane = thread % 32, first = row + group * 64 + thread / 32 * 16 + lane / 4;
        for (int i = 0; i < 32; ++i) {
            int y = first + i / 2 % 2 * 8, x = column + i / 4 * 8 + lane % 4 * 2 + i % 2;
            if (y < m && x < n) c[y * n + x] = d[i];
        }
    }
}
