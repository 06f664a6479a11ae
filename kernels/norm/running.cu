// norm/running.cu: running statistics of channels from those of every image.
//
// Computes   running' = (1 - momentum) running + momentum * (mean over the images of their means,
//            or of their variances with n - 1)
// Layout     running statistics any stride; new ones contiguous; parts of segments as
//            norm/moments.cu leaves them
// Launch     a warp a channel, block 256
// Traffic    4 numbers for each image, channel and segment
// Range      any extents, 64-bit index arithmetic; two or more elements behind a statistic. The
//            order of the sums depends on the shape alone: deterministic
// Siblings   moments_merge of norm/moments.cu where the images share their statistics
// Source     Ulyanov, Vedaldi, Lempitsky: Instance normalization, arXiv 1607.08022, 2016
//
// entry running_images  running statistics from segments of every image
// variant SCALAR = floating
#include <pycnn/kernel.cuh>
#include <pycnn/norm.cuh>

struct RunningParams {
    index_t channels, images, segments;
    index_t mean, variance;  // elements from one running statistic to the next
    int mean_wide, variance_wide;
    double momentum;
};

extern "C" __global__ void __launch_bounds__(THREADS, 1)
running_images(const Moments* __restrict__ parts, const void* __restrict__ running_mean,
               const void* __restrict__ running_var, void* __restrict__ new_mean,
               void* __restrict__ new_var, RunningParams p) {
    const index_t channel = flat_thread() / LANES;
    if (channel >= p.channels) return;  // whole warps
    SumPair sums = {};                  // of means and of variances
    for (index_t image = threadIdx.x % LANES; image < p.images; image += LANES) {
        Moments all = {};
        for (index_t i = 0; i < p.segments; ++i)
            all.merge(parts[(image * p.channels + channel) * p.segments + i]);
        sums.first += all.whole_mean();
        sums.second += all.squares / (all.count - 1);
    }
    sums = merge_lanes(sums);
    if (threadIdx.x % LANES != 0) return;
    const acc_t kept = static_cast<acc_t>(1 - p.momentum);
    const acc_t fresh = static_cast<acc_t>(p.momentum) / static_cast<acc_t>(p.images);
    store_parameter(new_mean, channel, p.mean_wide,
                    kept * parameter(running_mean, channel * p.mean, p.mean_wide) +
                        fresh * sums.first);
    store_parameter(new_var, channel, p.variance_wide,
                    kept * parameter(running_var, channel * p.variance, p.variance_wide) +
                        fresh * sums.second);
}
