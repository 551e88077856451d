# says: (?s)counts 1 time:
def simd_registers(assembly):
    return {
        "xmm": assembly.count("%xmm"),
        "ymm": assembly.count("%ymm"),
        "zmm": assembly.count("%zmm"),
        "neon": len(re.findall(r"\bv\d+\.", assembly)),
    }
