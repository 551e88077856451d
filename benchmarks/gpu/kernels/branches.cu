// Micro-kernels that diverge: which lanes run which line. Every source line holds at most one access, and the
// ways of a branch cannot be merged into one, as each stores through a statement of its own.

#include <cuda_runtime.h>

__device__ __forceinline__ int thread() {
    return blockIdx.x * blockDim.x + threadIdx.x;
}

// A store that neither compiler moves into another branch, or out of it.
#define STORE(pointer, value) asm volatile("st.global.u32 [%0], %1;" ::"l"(pointer), "r"(value) : "memory")

extern "C" {

// As many ways as `ways` (1 to 32), each lane in one.
__global__ void switch_ways(unsigned *out, int ways) {
    int i = thread();
    unsigned *place = out + i;
    switch (threadIdx.x % ways) {
        case 0: STORE(place, i + 0); break;
        case 1: STORE(place, i + 1); break;
        case 2: STORE(place, i + 2); break;
        case 3: STORE(place, i + 3); break;
        case 4: STORE(place, i + 4); break;
        case 5: STORE(place, i + 5); break;
        case 6: STORE(place, i + 6); break;
        case 7: STORE(place, i + 7); break;
        case 8: STORE(place, i + 8); break;
        case 9: STORE(place, i + 9); break;
        case 10: STORE(place, i + 10); break;
        case 11: STORE(place, i + 11); break;
        case 12: STORE(place, i + 12); break;
        case 13: STORE(place, i + 13); break;
        case 14: STORE(place, i + 14); break;
        case 15: STORE(place, i + 15); break;
        case 16: STORE(place, i + 16); break;
        case 17: STORE(place, i + 17); break;
        case 18: STORE(place, i + 18); break;
        case 19: STORE(place, i + 19); break;
        case 20: STORE(place, i + 20); break;
        case 21: STORE(place, i + 21); break;
        case 22: STORE(place, i + 22); break;
        case 23: STORE(place, i + 23); break;
        case 24: STORE(place, i + 24); break;
        case 25: STORE(place, i + 25); break;
        case 26: STORE(place, i + 26); break;
        case 27: STORE(place, i + 27); break;
        case 28: STORE(place, i + 28); break;
        case 29: STORE(place, i + 29); break;
        case 30: STORE(place, i + 30); break;
        case 31: STORE(place, i + 31); break;
    }
}

// Bits of the lane decide, two deep: four paths that meet again in pairs.
__global__ void nested(unsigned *out, unsigned first, unsigned second) {
    int i = thread();
    int lane = threadIdx.x % 32;
    unsigned *place = out + 8 * i;
    if (first >> lane & 1) {
        STORE(place, 1);
        if (second >> lane & 1) {
            STORE(place + 1, 2);
        } else {
            STORE(place + 2, 3);
        }
        STORE(place + 3, 4);
    } else {
        STORE(place + 4, 5);
        if (second >> lane & 1) {
            STORE(place + 5, 6);
        }
    }
    STORE(place + 6, 7);
}

// Each lane takes as many turns as its lane modulo `turns`.
__global__ void uneven_loop(const unsigned *in, unsigned *out, int turns) {
    int i = thread();
    int mine = threadIdx.x % turns;
#pragma unroll 1
    for (int turn = 0; turn < mine; turn++) {
        unsigned value =
            in[turn * gridDim.x * blockDim.x + i];
        STORE(out + i, value);
    }
}

// Lanes that are done leave; the others go on without them.
__global__ void early_exit(const unsigned *in, unsigned *out, unsigned mask) {
    int i = thread();
    unsigned value =
        in[i];
    STORE(out + i, value);
    if (mask >> (threadIdx.x % 32) & 1) {
        return;
    }
    STORE(out + i, value + 1);
}

// A loop that a lane leaves from the middle.
__global__ void leave_loop(const unsigned *in, unsigned *out, int turns) {
    int i = thread();
    unsigned *place = out + i;
#pragma unroll 1
    for (int turn = 0; turn < turns; turn++) {
        unsigned value =
            in[turn * 32 + threadIdx.x % 32];
        if (value % 5 == 3) {
            break;
        }
        STORE(place, value);
    }
}

}  // extern "C"
