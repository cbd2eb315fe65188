"""The one part that needs a compiler. Everything else about the package is in pyproject.toml."""

from glob import glob

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

# Not -march=native: the kernel chooses its instructions when it runs, so a wheel may travel.
kernel = Pybind11Extension(
    "shard._kernel",
    ["shard/native/kernel.cpp"],
    depends=sorted(glob("shard/native/*.h")),
    cxx_std=17,
    extra_compile_args=["-O3", "-ffp-contract=off", "-Wno-psabi"],
)

setup(ext_modules=[kernel])
