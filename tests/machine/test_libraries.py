"""Libraries that are loaded, as threadpoolctl lists them."""

from importlib import metadata

import threadpoolctl

from tinytorch.machine import libraries


def test_blas_and_openmp(monkeypatch):
    listed = [
        {
            "user_api": "blas",
            "internal_api": "openblas",
            "version": "0.3",
            "architecture": "Zen",
            "num_threads": 4,
        },
        {"user_api": "blas", "internal_api": "mkl", "version": None, "num_threads": 1},
        {
            "user_api": "openmp",
            "internal_api": "openmp",
            "prefix": "libgomp",
            "version": None,
            "num_threads": 8,
        },
    ]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: listed)
    assert libraries.loaded() == (
        ("openblas 0.3 Zen, 4 threads", "mkl, 1 threads"),
        ("libgomp, 8 threads",),
    )


def test_versions(monkeypatch):
    assert libraries.versions()["numpy"] == metadata.version("numpy")

    def missing(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    assert libraries.versions()["numba"] == "not installed"
