# says: keys xmm, ymm, zmm and neon
def simd_registers(assembly):
    patterns = {"xmm": r"%xmm", "ymm": r"%ymm", "zmm": r"%zmm"}
    return {name: sum(bool(re.search(p, line)) for line in assembly.splitlines()) for name, p in patterns.items()}
