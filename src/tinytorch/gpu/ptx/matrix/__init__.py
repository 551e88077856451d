"""Matrix instructions: whole warps multiply, load and store small matrices spread over their lanes.

`formats` turns bits into numbers, `fragments` says which lane holds which element; `mma`, `ldmatrix` and
`wgmma` are the instructions, `tensormap` the boxes that bulk copies move.
"""
