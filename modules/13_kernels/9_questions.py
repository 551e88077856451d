# %% [markdown]
# ## Step 9: Questions to think about
#
# Nobody checks these. Write two or three sentences to each, with a number in them wherever there is one to be
# had: by hand, from the tools of step 7, or by an experiment.
#
# ### GPU architecture
#
# 1. A processor (SM) of an H100 has room for 64 warps and for 65,536 registers. A kernel takes 128 registers
#    a thread. How many warps fit? What does an SM do while a warp waits for memory, and how many warps does
#    it need for that?
# 2. Memory that delivers 3.35 TB/s answers after some 600 ns. How many bytes must be under way at any time,
#    to keep it busy? How many requests of 128 bytes is that, and who makes them?
# 3. A CPU core spends most of its area on caches, on guessing branches and on running instructions out of
#    order; an SM spends it on lanes and registers. Which of your kernels would gain most from a GPU, and
#    which nothing at all? (Think of `chase` from step 3.)
#
# ### CUDA
#
# 4. `cuda.syncthreads()` waits for the threads of one block. Why is there no such thing for the whole grid
#    within an ordinary kernel? What would happen to blocks that have not started yet?
# 5. Starting a kernel takes about 4 µs. From how many float32 on does ReLU on an A100 (2.04 TB/s) take longer
#    than its start? What does that say about fusing, and about networks at a batch of one?
# 6. Give `transpose` a tile of float64. A lane now asks for two words at once. Does the unused word a row
#    still keep conflicts away, and is it a word of 4 bytes or of 8? Let the emulator tell you.
# 7. A histogram adds to bins with `cuda.atomic.add`. What do 32 lanes do that all meet in one bin? How would
#    shared memory help, and what would a block do at its end?
#
# ### Triton
#
# ```python
# @triton.jit
# def relu(x, y, n, BLOCK: tl.constexpr):
#     i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
#     inside = i < n
#     v = tl.load(x + i, mask=inside)
#     tl.store(y + i, tl.where(v < 0, 0.0, v), mask=inside)
# ```
#
# 8. You write what a whole *block* does; which lane does what is the compiler's choice. Which mistakes of
#    step 7 can you no longer make: scattered lanes, missing bounds, bank conflicts, races, divergence? Which
#    can you still?
# 9. Put it into a file with its imports, and run `tito gpu analyze relu.py:relu 4000:float32 4000:float32
#    4000 --grid 16 BLOCK=256`. Each lane moves 64 bits at a time there, yours in step 7 moved 32. The sectors
#    are the same in all: what is gained? Then make it 4001 elements.
# 10. A compiler that knows your tile sizes can choose layouts. What can it not know, which you as the author
#     do?
#
# ### Precision
#
# 11. What is `np.float16(2048) + np.float16(1)`? Why do tensor cores multiply in float16 and add up in
#     float32?
# 12. bfloat16 has the exponent of float32 and 8 bits of precision, float16 has 11 bits and ends at 65,504.
#     Which would you take for gradients, which for activations that are known to lie within ±10?
# 13. One activation is 100 times as large as all others. What is left of them in int8 with one scale? Name
#     two ways out, and what each costs.
# 14. Your parallel sum and your serial sum of the same float32 differ in the last bit. Is one of them wrong?
#     How would you test a kernel whose result depends on an order that nobody promises?
#
# ### Clusters
#
# 15. `ring_seconds` for 10 kB on 1,024 GPUs, 50 GB/s and 10 µs a message: how much of it is latency? A tree
#     needs a step for each doubling, on the way up and on the way down. How long does it take? And for 1 GB?
# 16. Gradients of 7 · 10⁹ weights in bfloat16 are 14 GB. How long does their all-reduce take over links of 50
#     GB/s, among very many GPUs? Behind what could that be hidden?
# 17. Data parallel training copies all weights to every GPU. What has to travel if the *layers* are divided
#     instead, and what if each *product* is? Which of the two wants the fast links within a node?
# 18. A GPU fails once in five years, and a run uses 10,000 of them. How often does the run stop? How long may
#     writing a checkpoint take?

# %% [markdown]
# ## Summary
#
# | Step | You built | What it showed |
# |---|---|---|
# | 1 | a clock, a product in three loops | nothing is fast or slow but beside something else |
# | 2 | compiled elementwise kernels | the compiler uses SIMD where a loop lets it; one pass beats five |
# | 3 | a pointer chase, a blocked product | near is fast: use data while it is near |
# | 4 | shares of work, threads, a batch | threads pay when there is work for them, and all of them get some |
# | 5 | samples, turns, a verdict | a difference counts when A against A would not have shown it |
# | 6 | int8 with saturation | fewer bytes for some error, which you can measure, too |
# | 7 | a roofline, GPU kernels, a ring | what holds a kernel; what lanes ask of memory together |
# | 8 | a network of your own kernels | it is the whole that has to become faster |
#
# Three questions remain, whatever machine comes next: **How many operations, how many bytes, which roof?**
# **What do neighbours (lanes, threads, GPUs) do at the same time?** **Against what, and how surely, was it
# measured?**
#
# Where each of these lives in the library, to read on:
#
# - `tinytorch/ops` and `tinytorch/simd`: the products and elementwise kernels; machine code made for this
#   CPU.
# - `tinytorch/measure`: samples, turns, verdicts, peaks, bandwidths and latencies; the roofline.
# - `tinytorch/profiler`: what bounds a function, and `KernelOptimizationProfiler`.
# - `tinytorch/gpu`: PTX emulated, machine code read, models of occupancy, banks, fusion and collectives.
# - `tinytorch/compress`: int8, int4, pruned and low-rank layers, and what each costs in accuracy.
#
# And elsewhere: Williams, Waterman and Patterson, *Roofline* (2009); Goto and van de Geijn, *Anatomy of
# High-Performance Matrix Multiplication* (2008); Drepper, *What Every Programmer Should Know About Memory*
# (2007); Tillet, Kung and Cox, *Triton* (2019); Thakur, Rabenseifner and Gropp, *Optimization of Collective
# Communication Operations in MPICH* (2005).
