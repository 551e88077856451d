# says: (?s)counts 0 times: .size
def simd_registers(assembly):
    patterns = {"xmm": r"%xmm", "ymm": r"%ymm", "zmm": r"%zmm", "neon": r"v\d+"}
    return {name: sum(bool(re.search(p, line)) for line in assembly.splitlines()) for name, p in patterns.items()}
