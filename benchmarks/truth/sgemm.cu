// Products of square matrices C = A B by the designs of published ladders, for model_truth.py alone:
// the sizes of tiles and the order of accesses are those of the descriptions, the code is ours.
// Every extent is a multiple of the tile.

// One thread an output; UNCOALESCED: neighbours of a warp lie in neighbouring rows.
template <bool UNCOALESCED>
__global__ void plain(int n, const float* a, const float* b, float* c) {
    const int row = UNCOALESCED ? blockIdx.x * 32 + threadIdx.x % 32
                                : blockIdx.x * 32 + threadIdx.x / 32;
    const int col = UNCOALESCED ? blockIdx.y * 32 + threadIdx.x / 32
                                : blockIdx.y * 32 + threadIdx.x % 32;
    float sum = 0;
    for (int k = 0; k < n; ++k) sum += a[row * n + k] * b[k * n + col];
    c[row * n + col] += sum;
}

// Tiles of 32 x 32 x 32 in shared memory, one thread an output.
extern "C" __global__ void shared_tile(int n, const float* a, const float* b, float* c) {
    __shared__ float sa[32 * 32], sb[32 * 32];
    const int y = threadIdx.x / 32, x = threadIdx.x % 32;
    a += blockIdx.x * 32 * n, b += blockIdx.y * 32, c += blockIdx.x * 32 * n + blockIdx.y * 32;
    float sum = 0;
    for (int k0 = 0; k0 < n; k0 += 32) {
        sa[y * 32 + x] = a[y * n + k0 + x];
        sb[y * 32 + x] = b[(k0 + y) * n + x];
        __syncthreads();
        for (int k = 0; k < 32; ++k) sum += sa[y * 32 + k] * sb[k * 32 + x];
        __syncthreads();
    }
    c[y * n + x] += sum;
}

// A column of TM outputs a thread.
template <int BM, int BN, int BK, int TM>
__global__ void column_tile(int n, const float* a, const float* b, float* c) {
    __shared__ float sa[BM * BK], sb[BK * BN];
    const int x = threadIdx.x % BN, y = threadIdx.x / BN;
    a += blockIdx.y * BM * n, b += blockIdx.x * BN, c += blockIdx.y * BM * n + blockIdx.x * BN;
    float sums[TM] = {};
    for (int k0 = 0; k0 < n; k0 += BK) {
        sa[threadIdx.x] = a[(threadIdx.x / BK) * n + k0 + threadIdx.x % BK];
        sb[threadIdx.x] = b[(k0 + threadIdx.x / BN) * n + threadIdx.x % BN];
        __syncthreads();
        for (int k = 0; k < BK; ++k) {
            const float right = sb[k * BN + x];
            for (int i = 0; i < TM; ++i) sums[i] += sa[(y * TM + i) * BK + k] * right;
        }
        __syncthreads();
    }
    for (int i = 0; i < TM; ++i) c[(y * TM + i) * n + x] += sums[i];
}

// TM x TN outputs a thread. VECTOR: 16 bytes a load, and A transposed on its way.
template <int BM, int BN, int BK, int TM, int TN, bool VECTOR>
__global__ void __launch_bounds__(BM * BN / TM / TN)
square_tile(int n, float* a, float* b, float* c) {
    constexpr int THREADS = BM * BN / TM / TN;
    __shared__ float sa[BM * BK], sb[BK * BN];
    const int x = threadIdx.x % (BN / TN), y = threadIdx.x / (BN / TN);
    a += blockIdx.y * BM * n, b += blockIdx.x * BN, c += blockIdx.y * BM * n + blockIdx.x * BN;
    float sums[TM][TN] = {};
    for (int k0 = 0; k0 < n; k0 += BK) {
        if constexpr (VECTOR) {
            for (int t = 0; t < BM * BK / 4; t += THREADS) {
                const int i = t + threadIdx.x;
                const int row = i / (BK / 4), col = i % (BK / 4) * 4;
                const float4 v = *reinterpret_cast<float4*>(&a[row * n + k0 + col]);
                sa[col * BM + row] = v.x, sa[(col + 1) * BM + row] = v.y;
                sa[(col + 2) * BM + row] = v.z, sa[(col + 3) * BM + row] = v.w;
            }
            for (int t = 0; t < BN * BK / 4; t += THREADS) {
                const int i = t + threadIdx.x;
                reinterpret_cast<float4*>(sb)[i] =
                    *reinterpret_cast<float4*>(&b[(k0 + i / (BN / 4)) * n + i % (BN / 4) * 4]);
            }
        } else {
            for (int t = 0; t < BM * BK; t += THREADS) {
                const int i = t + threadIdx.x;
                sa[i] = a[(i / BK) * n + k0 + i % BK];
            }
            for (int t = 0; t < BN * BK; t += THREADS) {
                const int i = t + threadIdx.x;
                sb[i] = b[(k0 + i / BN) * n + i % BN];
            }
        }
        __syncthreads();
        for (int k = 0; k < BK; ++k) {
            float left[TM], right[TN];
            for (int i = 0; i < TM; ++i)
                left[i] = VECTOR ? sa[k * BM + y * TM + i] : sa[(y * TM + i) * BK + k];
            for (int j = 0; j < TN; ++j) right[j] = sb[k * BN + x * TN + j];
            for (int i = 0; i < TM; ++i)
                for (int j = 0; j < TN; ++j) sums[i][j] += left[i] * right[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < TM; ++i)
        for (int j = 0; j < TN; j += 4) {
            float4* at = reinterpret_cast<float4*>(&c[(y * TM + i) * n + x * TN + j]);
            float4 v = *at;
            v.x += sums[i][j], v.y += sums[i][j + 1], v.z += sums[i][j + 2], v.w += sums[i][j + 3];
            *at = v;
        }
}

// A warp has a tile WM x WN of its own, in pieces of SM x SN; a thread TM x TN of each piece.
template <int BM, int BN, int BK, int WM, int WN, int SM, int SN, int TM, int TN>
__global__ void __launch_bounds__(BM* BN / WM / WN * 32)
warp_tile(int n, float* a, float* b, float* c) {
    constexpr int THREADS = BM * BN / WM / WN * 32, PM = WM / SM, PN = WN / SN;
    static_assert(SM / TM * (SN / TN) == 32, "a piece is one warp's");
    __shared__ float sa[BM * BK], sb[BK * BN];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int y = warp / (BN / WN) * WM + lane / (SN / TN) * TM;
    const int x = warp % (BN / WN) * WN + lane % (SN / TN) * TN;
    a += blockIdx.y * BM * n, b += blockIdx.x * BN, c += blockIdx.y * BM * n + blockIdx.x * BN;
    float sums[PM][TM][PN][TN] = {};
    for (int k0 = 0; k0 < n; k0 += BK) {
        for (int t = 0; t < BM * BK / 4; t += THREADS) {
            const int i = t + threadIdx.x;
            const int row = i / (BK / 4), col = i % (BK / 4) * 4;
            const float4 v = *reinterpret_cast<float4*>(&a[row * n + k0 + col]);
            sa[col * BM + row] = v.x, sa[(col + 1) * BM + row] = v.y;
            sa[(col + 2) * BM + row] = v.z, sa[(col + 3) * BM + row] = v.w;
        }
        for (int t = 0; t < BN * BK / 4; t += THREADS) {
            const int i = t + threadIdx.x;
            reinterpret_cast<float4*>(sb)[i] =
                *reinterpret_cast<float4*>(&b[(k0 + i / (BN / 4)) * n + i % (BN / 4) * 4]);
        }
        __syncthreads();
        for (int k = 0; k < BK; ++k) {
            float left[PM][TM], right[PN][TN];
            for (int p = 0; p < PM; ++p)
                for (int i = 0; i < TM; ++i) left[p][i] = sa[k * BM + y + p * SM + i];
            for (int q = 0; q < PN; ++q)
                for (int j = 0; j < TN; ++j) right[q][j] = sb[k * BN + x + q * SN + j];
            for (int p = 0; p < PM; ++p)
                for (int q = 0; q < PN; ++q)
                    for (int i = 0; i < TM; ++i)
                        for (int j = 0; j < TN; ++j) sums[p][i][q][j] += left[p][i] * right[q][j];
        }
        __syncthreads();
    }
    for (int p = 0; p < PM; ++p)
        for (int i = 0; i < TM; ++i)
            for (int q = 0; q < PN; ++q)
                for (int j = 0; j < TN; j += 4) {
                    float4* at =
                        reinterpret_cast<float4*>(&c[(y + p * SM + i) * n + x + q * SN + j]);
                    float4 v = *at;
                    v.x += sums[p][i][q][j], v.y += sums[p][i][q][j + 1];
                    v.z += sums[p][i][q][j + 2], v.w += sums[p][i][q][j + 3];
                    *at = v;
                }
}
