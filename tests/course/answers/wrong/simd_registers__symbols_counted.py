# says: (?s)counts 0 times: .globl zmm_of_the_sum
def simd_registers(assembly):
    patterns = {"xmm": r"%xmm", "ymm": r"%ymm", "zmm": r"zmm", "neon": r"\bv\d+\."}
    return {name: sum(bool(re.search(p, line)) for line in assembly.splitlines()) for name, p in patterns.items()}
