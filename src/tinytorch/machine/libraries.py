"""The libraries that compute besides ours: BLAS and OpenMP as loaded now, and versions of packages."""

import platform

_PACKAGES = ("tinytorch-kernels", "numpy", "numba", "llvmlite")


def loaded() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (BLAS libraries, OpenMP libraries) in this process: name, version, threads."""
    import numpy as np
    import threadpoolctl

    np.dot(np.ones((2, 2)), np.ones((2, 2)))  # some builds load their BLAS on first use
    blas, openmp = [], []
    for library in threadpoolctl.threadpool_info():
        threads = f"{library['num_threads']} threads"
        if library["user_api"] == "blas":
            parts = (library["internal_api"], library["version"], library.get("architecture"))
            blas.append(f"{' '.join(str(part) for part in parts if part)}, {threads}")
        elif library["user_api"] == "openmp":
            openmp.append(f"{library['prefix']}, {threads}")
    return tuple(blas), tuple(openmp)


def versions() -> dict[str, str]:
    """Return the versions of Python and of what kernels are made with.

    >>> sorted(versions())
    ['llvmlite', 'numba', 'numpy', 'python', 'tinytorch-kernels']
    """
    from importlib import metadata

    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
