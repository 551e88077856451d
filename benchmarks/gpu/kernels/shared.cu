// Micro-kernels on shared memory: what a warp's accesses to its banks cost. Every source line holds at most
// one access. Which word a lane takes is told by an array of indices, so one kernel does every pattern.

#include <cuda_runtime.h>

extern __shared__ uint4 memory[];

template <typename T>
__device__ __forceinline__ void fill(const T *in, int count) {
    T *shared = reinterpret_cast<T *>(memory);
#pragma unroll 1
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        T value =
            in[i];
        shared[i] = value;
    }
    __syncthreads();
}

template <typename T>
__device__ __forceinline__ void read(const int *index, const T *in, T *out, int count) {
    fill(in, count);
    int where =
        index[threadIdx.x];
    T value =
        reinterpret_cast<T *>(memory)[where];
    out[threadIdx.x] = value;
}

template <typename T>
__device__ __forceinline__ void write(const int *index, const T *in, T *out, int count) {
    fill(in, count);
    int where =
        index[threadIdx.x];
    T value =
        in[count + where];
    reinterpret_cast<T *>(memory)[where] = value;
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        T copied =
            reinterpret_cast<T *>(memory)[i];
        out[i] = copied;
    }
}

template <int WIDTH>
__device__ __forceinline__ void transpose(const unsigned *in, unsigned *out, int n) {
    __shared__ unsigned tile[32][WIDTH];
    int x = blockIdx.x * 32 + threadIdx.x;
    int y = blockIdx.y * 32 + threadIdx.y;
    unsigned value =
        in[y * n + x];
    tile[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    x = blockIdx.y * 32 + threadIdx.x;
    y = blockIdx.x * 32 + threadIdx.y;
    unsigned turned =
        tile[threadIdx.x][threadIdx.y];
    out[y * n + x] = turned;
}

extern "C" {

__global__ void read_8(const int *index, const unsigned char *in, unsigned char *out, int count) {
    read(index, in, out, count);
}
__global__ void read_16(const int *index, const unsigned short *in, unsigned short *out, int count) {
    read(index, in, out, count);
}
__global__ void read_32(const int *index, const unsigned *in, unsigned *out, int count) {
    read(index, in, out, count);
}
__global__ void read_64(const int *index, const uint2 *in, uint2 *out, int count) {
    read(index, in, out, count);
}
__global__ void read_128(const int *index, const uint4 *in, uint4 *out, int count) {
    read(index, in, out, count);
}

__global__ void write_8(const int *index, const unsigned char *in, unsigned char *out, int count) {
    write(index, in, out, count);
}
__global__ void write_16(const int *index, const unsigned short *in, unsigned short *out, int count) {
    write(index, in, out, count);
}
__global__ void write_32(const int *index, const unsigned *in, unsigned *out, int count) {
    write(index, in, out, count);
}
__global__ void write_64(const int *index, const uint2 *in, uint2 *out, int count) {
    write(index, in, out, count);
}
__global__ void write_128(const int *index, const uint4 *in, uint4 *out, int count) {
    write(index, in, out, count);
}

__global__ void transpose_32(const unsigned *in, unsigned *out, int n) {
    transpose<32>(in, out, n);
}
__global__ void transpose_33(const unsigned *in, unsigned *out, int n) {
    transpose<33>(in, out, n);
}

// Four 8 x 8 matrices of 16-bit elements; each lane gives the address of one row of eight.
__global__ void matrices(const int *index, const uint4 *in, uint4 *out, int count) {
    fill(in, count);
    int where =
        index[threadIdx.x];
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(memory + where));
    uint4 value;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w) : "r"(address) : "memory");
    out[threadIdx.x] = value;
}

// From global to shared memory past the registers.
__global__ void copy_async(const int *index, const uint4 *in, uint4 *out) {
    int where =
        index[threadIdx.x];
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(memory + where));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(address), "l"(in + threadIdx.x) : "memory");
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    uint4 value =
        memory[where];
    out[threadIdx.x] = value;
}

}  // extern "C"
