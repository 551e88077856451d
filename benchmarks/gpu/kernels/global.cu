// Micro-kernels on global memory. Every source line holds at most one access, so that a line of the PTX's
// table and one of the SASS's table name the same access. A stride or an offset counts elements.

#include <cuda_runtime.h>

__device__ __forceinline__ int thread() {
    return blockIdx.x * blockDim.x + threadIdx.x;
}

template <typename T>
__device__ __forceinline__ void load(const T *in, T *out, int stride, int offset) {
    int i = thread();
    T value =
        in[i * stride + offset];
    out[i] = value;
}

template <typename T>
__device__ __forceinline__ void store(const T *in, T *out, int stride, int offset) {
    int i = thread();
    T value =
        in[i];
    out[i * stride + offset] = value;
}

template <typename T>
__device__ __forceinline__ void masked(const T *in, T *out, unsigned mask) {
    int i = thread();
    if (mask >> (threadIdx.x % 32) & 1) {
        T value =
            in[i];
        out[i] = value;
    }
}

template <typename T>
__device__ __forceinline__ void gather(const int *index, const T *in, T *out) {
    int i = thread();
    int where =
        index[i];
    T value =
        in[where];
    out[i] = value;
}

extern "C" {

__global__ void load_8(const unsigned char *in, unsigned char *out, int stride, int offset) {
    load(in, out, stride, offset);
}
__global__ void load_16(const unsigned short *in, unsigned short *out, int stride, int offset) {
    load(in, out, stride, offset);
}
__global__ void load_32(const unsigned *in, unsigned *out, int stride, int offset) {
    load(in, out, stride, offset);
}
__global__ void load_64(const uint2 *in, uint2 *out, int stride, int offset) {
    load(in, out, stride, offset);
}
__global__ void load_128(const uint4 *in, uint4 *out, int stride, int offset) {
    load(in, out, stride, offset);
}

__global__ void store_8(const unsigned char *in, unsigned char *out, int stride, int offset) {
    store(in, out, stride, offset);
}
__global__ void store_16(const unsigned short *in, unsigned short *out, int stride, int offset) {
    store(in, out, stride, offset);
}
__global__ void store_32(const unsigned *in, unsigned *out, int stride, int offset) {
    store(in, out, stride, offset);
}
__global__ void store_64(const uint2 *in, uint2 *out, int stride, int offset) {
    store(in, out, stride, offset);
}
__global__ void store_128(const uint4 *in, uint4 *out, int stride, int offset) {
    store(in, out, stride, offset);
}

__global__ void masked_32(const unsigned *in, unsigned *out, unsigned mask) {
    masked(in, out, mask);
}
__global__ void masked_64(const uint2 *in, uint2 *out, unsigned mask) {
    masked(in, out, mask);
}
__global__ void masked_128(const uint4 *in, uint4 *out, unsigned mask) {
    masked(in, out, mask);
}

__global__ void gather_32(const int *index, const unsigned *in, unsigned *out) {
    gather(index, in, out);
}
__global__ void gather_128(const int *index, const uint4 *in, uint4 *out) {
    gather(index, in, out);
}

__global__ void scatter_32(const int *index, const unsigned *in, unsigned *out) {
    int i = thread();
    int where =
        index[i];
    unsigned value =
        in[i];
    out[where] = value;
}

// The last warp is partial where the count says so: predicated loads and stores.
__global__ void bounded_32(const unsigned *in, unsigned *out, int count) {
    int i = thread();
    if (i < count) {
        unsigned value =
            in[i];
        out[i] = 3 * value;
    }
}

}  // extern "C"
