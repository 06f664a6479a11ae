// optim/step.cu: one step of an optimiser, of many parameters in one launch.
//
// Computes   w, and what the optimiser keeps of it, from the gradient g (first g / scale * clip):
//            sgd       g += decay w;  v = momentum v + g;  w -= rate (g + momentum v, or v)
//            adam      g += decay w, or w *= decay;  m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g g
//                      w -= rate (m / (root sqrt(s) + eps))
//            rmsprop   g += decay w;  s = a s + (1 - a) g g;  v = momentum v + g / (sqrt(s) + eps)
//                      w -= rate v
// Layout     every array contiguous; where they begin is in the table, 0 for those that are not there
// Launch     block 256, two vectors of 16 bytes a thread of every array; each parameter has blocks of
//            its own, of which the table holds the ends; no shared memory
// Traffic    w and what is kept are read and written once, g is read once: bound by bandwidth
// Range      any length of a parameter, 64-bit index arithmetic; at most MOST a launch. Every operation
//            is rounded to the parameter's type by itself, none is contracted: the bits are those of
//            the same steps in NumPy or CuPy, array by array
// Siblings   gradients, whether all are finite and how long they are together
// Source     Kingma, Ba, "Adam", 2015, algorithm 1; Loshchilov, Hutter, "Decoupled weight decay
//            regularization", 2019, algorithm 2; Sutskever et al., "On the importance of
//            initialization and momentum in deep learning", 2013; Tieleman, Hinton, "RMSProp", 2012
//
// entry sgd               w -= rate g
// entry sgd_momentum      with a momentum, Nesterov's or the usual one
// entry adam              Adam, and AdamW
// entry rmsprop           RMSprop without a momentum
// entry rmsprop_momentum  RMSprop with a momentum
// variant SCALAR = native
#include <pycnn/optim.cuh>

// Each rounded as an array of its type is: also where acc_t is wider.
__device__ __forceinline__ acc_t rounded(acc_t x) { return to_acc(from_acc(x)); }
__device__ __forceinline__ float product(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double product(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ float total(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ double total(double a, double b) { return __dadd_rn(a, b); }
__device__ __forceinline__ acc_t times(acc_t a, acc_t b) { return rounded(product(a, b)); }
__device__ __forceinline__ acc_t plus(acc_t a, acc_t b) { return rounded(total(a, b)); }
__device__ __forceinline__ acc_t over(acc_t a, acc_t b) { return rounded(a / b); }
__device__ __forceinline__ acc_t root_of(acc_t x) { return rounded(sqrt(x)); }

// What of one parameter is the same for all its elements.
struct Rates {
    acc_t scale, clip, root, rate, decay;

    __device__ __forceinline__ Rates(const double* __restrict__ rates,
                                     const double* __restrict__ own)
        : scale(acc_t(ldg(rates + SCALE))),
          clip(acc_t(ldg(rates + CLIP))),
          root(acc_t(ldg(rates + ROOT))),
          rate(acc_t(ldg(own))),
          decay(acc_t(ldg(own + 1))) {}

    __device__ __forceinline__ acc_t decayed(acc_t value, acc_t grad) const {
        return decay != 0 ? plus(grad, times(decay, value)) : grad;
    }
    __device__ __forceinline__ acc_t moved(acc_t value, acc_t by) const {
        return plus(value, -times(rate, by));
    }
};

struct Sgd {
    acc_t momentum;
    bool nesterov;

    __device__ __forceinline__ acc_t operator()(const Rates& r, acc_t value, acc_t grad,
                                                acc_t (&slot)[2]) const {
        grad = r.decayed(value, grad);
        if (momentum != 0) {
            slot[0] = plus(times(slot[0], momentum), grad);
            grad = nesterov ? plus(grad, times(momentum, slot[0])) : slot[0];
        }
        return r.moved(value, grad);
    }
};

struct Adam {
    acc_t keep_mean, new_mean, keep_square, new_square, eps;
    bool decoupled;

    __device__ __forceinline__ acc_t operator()(const Rates& r, acc_t value, acc_t grad,
                                                acc_t (&slot)[2]) const {
        if (decoupled)
            value = times(value, r.decay);
        else
            grad = r.decayed(value, grad);
        slot[0] = plus(times(slot[0], keep_mean), times(new_mean, grad));
        slot[1] = plus(times(slot[1], keep_square), times(new_square, times(grad, grad)));
        const acc_t root = plus(times(root_of(slot[1]), r.root), eps);
        return r.moved(value, over(slot[0], root));
    }
};

struct RmsProp {
    acc_t keep, fresh, eps, momentum;

    __device__ __forceinline__ acc_t operator()(const Rates& r, acc_t value, acc_t grad,
                                                acc_t (&slot)[2]) const {
        grad = r.decayed(value, grad);
        slot[0] = plus(times(slot[0], keep), times(fresh, times(grad, grad)));
        acc_t change = over(grad, plus(root_of(slot[0]), eps));
        if (momentum != 0) {
            slot[1] = plus(times(slot[1], momentum), change);
            change = slot[1];
        }
        return r.moved(value, change);
    }
};

template <int SLOTS, typename Rule>
__device__ __forceinline__ void step(const Table& table, const double* __restrict__ rates,
                                     const double* __restrict__ own, const Rule& rule) {
    if (ldg(rates + SKIP) != 0) return;
    const Chunk chunk(table);
    const Rates r(rates, own + 2 * chunk.tensor);
    scalar_t* const value = chunk.array<scalar_t>(table.value);
    const scalar_t* const grad = chunk.array<scalar_t>(table.grad);
    scalar_t* const slot[] = {chunk.array<scalar_t>(table.first),
                              chunk.array<scalar_t>(table.second)};
    const auto moved = [&](acc_t w, acc_t g, acc_t(&kept)[2]) {
        if (r.scale != 1) g = over(g, r.scale);
        if (r.clip != 1) g = times(g, r.clip);
        return rule(r, w, g, kept);
    };
    if (chunk.size == CHUNK && aligned(value) && aligned(grad) && aligned(slot[0]) &&
        aligned(slot[1])) {  // arrays that are not there begin at zero, which is aligned
        Vec w[VECTORS], g[VECTORS], kept[2][VECTORS];
#pragma unroll
        for (int k = 0; k < VECTORS; ++k) {
            const int i = (k * THREADS + threadIdx.x) * VEC_SIZE;
            w[k] = *reinterpret_cast<const Vec*>(value + i);
            g[k] = *reinterpret_cast<const Vec*>(grad + i);
#pragma unroll
            for (int s = 0; s < SLOTS; ++s)
                kept[s][k] = *reinterpret_cast<const Vec*>(slot[s] + i);
        }
#pragma unroll
        for (int k = 0; k < VECTORS; ++k) {
            const int i = (k * THREADS + threadIdx.x) * VEC_SIZE;
#pragma unroll
            for (int e = 0; e < VEC_SIZE; ++e) {
                acc_t now[2] = {};
#pragma unroll
                for (int s = 0; s < SLOTS; ++s) now[s] = to_acc(kept[s][k].at[e]);
                w[k].at[e] = from_acc(moved(to_acc(w[k].at[e]), to_acc(g[k].at[e]), now));
#pragma unroll
                for (int s = 0; s < SLOTS; ++s) kept[s][k].at[e] = from_acc(now[s]);
            }
            *reinterpret_cast<Vec*>(value + i) = w[k];
#pragma unroll
            for (int s = 0; s < SLOTS; ++s) *reinterpret_cast<Vec*>(slot[s] + i) = kept[s][k];
        }
        return;
    }
#pragma unroll 1
    for (int i = threadIdx.x; i < chunk.size; i += THREADS) {
        acc_t now[2] = {};
#pragma unroll
        for (int s = 0; s < SLOTS; ++s) now[s] = to_acc(slot[s][i]);
        const scalar_t w = from_acc(moved(to_acc(value[i]), to_acc(grad[i]), now));
        value[i] = w;
#pragma unroll
        for (int s = 0; s < SLOTS; ++s) slot[s][i] = from_acc(now[s]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
sgd(const __grid_constant__ Table table, const double* __restrict__ rates,
    const double* __restrict__ own) {
    step<0>(table, rates, own, Sgd{0, false});
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
sgd_momentum(const __grid_constant__ Table table, const double* __restrict__ rates,
             const double* __restrict__ own, double momentum, int nesterov) {
    step<1>(table, rates, own, Sgd{acc_t(momentum), nesterov != 0});
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
adam(const __grid_constant__ Table table, const double* __restrict__ rates,
     const double* __restrict__ own, double keep_mean, double new_mean, double keep_square,
     double new_square, double eps, int decoupled) {
    step<2>(table, rates, own, Adam{acc_t(keep_mean), acc_t(new_mean), acc_t(keep_square),
                                    acc_t(new_square), acc_t(eps), decoupled != 0});
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
rmsprop(const __grid_constant__ Table table, const double* __restrict__ rates,
        const double* __restrict__ own, double keep, double fresh, double eps) {
    step<1>(table, rates, own, RmsProp{acc_t(keep), acc_t(fresh), acc_t(eps), 0});
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
rmsprop_momentum(const __grid_constant__ Table table, const double* __restrict__ rates,
                 const double* __restrict__ own, double keep, double fresh, double eps,
                 double momentum) {
    step<2>(table, rates, own,
            RmsProp{acc_t(keep), acc_t(fresh), acc_t(eps), acc_t(momentum)});
}
