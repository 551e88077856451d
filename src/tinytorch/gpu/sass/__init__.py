"""Machine code, read by NVIDIA's own tools: registers, spills, instructions and their widths."""
