// Micro-kernels of atomic operations and of sums over a block. Every source line holds at most one access.
// Sums are of integers, or of floats that hold integers, so that no order of the lanes changes them.

#include <cuda_runtime.h>

__device__ __forceinline__ int thread() {
    return blockIdx.x * blockDim.x + threadIdx.x;
}

extern "C" {

__global__ void atomic_add_32(const int *index, unsigned *out) {
    int where =
        index[thread()];
    atomicAdd(out + where, 1u);
}

__global__ void atomic_add_float(const int *index, float *out) {
    int where =
        index[thread()];
    atomicAdd(out + where, 1.0f);
}

__global__ void atomic_add_64(const int *index, unsigned long long *out) {
    int where =
        index[thread()];
    atomicAdd(out + where, 1ull);
}

// The old value is used, so it is no reduction; every lane has a place of its own.
__global__ void atomic_max_old(const int *index, unsigned *out, unsigned *old) {
    int i = thread();
    int where =
        index[i];
    unsigned before =
        atomicMax(out + where, 7u + i);
    old[i] = before;
}

__global__ void atomic_shared(const int *index, unsigned *out) {
    __shared__ unsigned bins[256];
#pragma unroll 1
    for (int i = threadIdx.x; i < 256; i += blockDim.x) {
        bins[i] = 0;
    }
    __syncthreads();
    int where =
        index[threadIdx.x];
    atomicAdd(bins + where, 1u);
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < 256; i += blockDim.x) {
        unsigned count =
            bins[i];
        out[i] = count;
    }
}

// Within a warp by shuffles, between warps through shared memory.
__global__ void block_sum(const unsigned *in, unsigned *out) {
    __shared__ unsigned sums[32];
    unsigned sum =
        in[thread()];
    for (int step = 16; step > 0; step /= 2) {
        sum += __shfl_xor_sync(0xffffffff, sum, step);
    }
    if (threadIdx.x % 32 == 0) {
        sums[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned total = 0;
#pragma unroll 1
        for (int warp = 0; warp < blockDim.x / 32; warp++) {
            total +=
                sums[warp];
        }
        out[blockIdx.x] = total;
    }
}

}  // extern "C"
