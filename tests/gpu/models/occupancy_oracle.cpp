// Answers questions about occupancy by NVIDIA's own header. Reads rows of int32 from stdin, writes rows of
// int32 to stdout, in the order of the structs below; test_occupancy.py writes and reads them.
#include <cstddef>
#include <cstdio>

#include "cuda_occupancy.h"

struct Question {
    int major, minor, threads_per_sm, shared_per_sm, shared_per_block, shared_opt_in, reserved;
    int threads, registers, static_shared, dynamic_shared, barriers, carveout, opt_in;
};

struct Answer {
    int error, blocks, warps_limit, registers_limit, shared_limit, blocks_limit, barriers_limit, best_threads;
};

static Answer answer(const Question &q) {
    cudaOccDeviceProp device;
    device.computeMajor = q.major;
    device.computeMinor = q.minor;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = q.threads_per_sm;
    device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.numSms = 1;
    device.sharedMemPerMultiprocessor = q.shared_per_sm;
    device.sharedMemPerBlock = q.shared_per_block;
    device.sharedMemPerBlockOptin = q.shared_opt_in;
    device.reservedSharedMemPerBlock = q.reserved;

    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = 1024;
    kernel.numRegs = q.registers;
    kernel.sharedSizeBytes = q.static_shared;
    kernel.shmemLimitConfig = q.opt_in ? FUNC_SHMEM_LIMIT_OPTIN : FUNC_SHMEM_LIMIT_DEFAULT;
    kernel.maxDynamicSharedSizeBytes = q.dynamic_shared;
    kernel.numBlockBarriers = q.barriers;

    cudaOccDeviceState state;
    state.carveoutConfig = q.carveout;

    cudaOccResult found = {};
    int error = cudaOccMaxActiveBlocksPerMultiprocessor(
        &found, &device, &kernel, &state, q.threads, q.dynamic_shared);
    int least_grid = 0, best_threads = 0;
    if (error == CUDA_OCC_SUCCESS && q.threads == 1024)  // asked once a kernel, as it tries every block size
        cudaOccMaxPotentialOccupancyBlockSize(
            &least_grid, &best_threads, &device, &kernel, &state, q.dynamic_shared);
    return {error,
            found.activeBlocksPerMultiprocessor,
            found.blockLimitWarps,
            found.blockLimitRegs,
            found.blockLimitSharedMem,
            found.blockLimitBlocks,
            found.blockLimitBarriers,
            best_threads};
}

int main() {
    Question question;
    while (std::fread(&question, sizeof question, 1, stdin) == 1) {
        Answer found = answer(question);
        std::fwrite(&found, sizeof found, 1, stdout);
    }
    return 0;
}
