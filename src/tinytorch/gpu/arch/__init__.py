"""What NVIDIA's GPUs are: compute capabilities and products; every cell has its source."""

from tinytorch.gpu.arch.capabilities import CAPABILITIES, Capability, capability
from tinytorch.gpu.arch.products import PRODUCTS, Product, product, product_of
from tinytorch.gpu.arch.sources import SOURCES, Source

__all__ = [
    "CAPABILITIES",
    "PRODUCTS",
    "SOURCES",
    "Capability",
    "Product",
    "Source",
    "capability",
    "product",
    "product_of",
]
