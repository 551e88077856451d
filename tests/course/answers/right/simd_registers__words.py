def simd_registers(assembly):
    counts = dict.fromkeys(("xmm", "ymm", "zmm", "neon"), 0)
    for line in assembly.split("\n"):
        words = line.replace(",", " ").replace("(", " ").split()
        for kind in ("xmm", "ymm", "zmm"):
            counts[kind] += any(word.startswith("%" + kind) for word in words)
        counts["neon"] += any(word[0] == "v" and word[1:].split(".")[0].isdigit() and "." in word for word in words)
    return counts
