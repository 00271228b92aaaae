// The moving statistics of batch normalisation.
#include "common.cuh"

// a thread a channel | reads moving mean and variance and those of the batch (n each), writes the
// moving ones to be, which may be those before | -
KERNEL(move_statistics)(const T* moving_mean, const T* moving_variance, const T* mean,
                        const T* variance, T* new_mean, T* new_variance, Int n, double momentum) {
    A keep = (A)momentum, take = (A)(1 - momentum);
    FOR_EACH(i, n) {
        new_mean[i] = rounded(keep * number(moving_mean[i]) + take * number(mean[i]));
        new_variance[i] = rounded(keep * number(moving_variance[i]) + take * number(variance[i]));
    }
}
