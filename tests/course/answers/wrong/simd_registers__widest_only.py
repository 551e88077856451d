# says: (?s)counts 1 time: vextractf128
def simd_registers(assembly):
    found = {"xmm": 0, "ymm": 0, "zmm": 0, "neon": 0}
    for line in assembly.splitlines():
        if "%zmm" in line:
            found["zmm"] += 1
        elif "%ymm" in line:
            found["ymm"] += 1
        elif "%xmm" in line:
            found["xmm"] += 1
        elif re.search(r"\bv\d+\.", line):
            found["neon"] += 1
    return found
