"""Builds the Cython kernels; everything else stands in pyproject.toml.

No -march=native: a wheel must run on the rack PC, not only on the machine that built it.

QNODEOS_BUILD=checked builds with checks of bounds and overflows, QNODEOS_BUILD=asan with the
address sanitizer; both are for tests only, see tools/checked_kernels.sh.
"""

import os
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path(__file__).parent

BUILD = os.environ.get("QNODEOS_BUILD", "release")
FLAGS = {
    # Debian's Python asks for debug information, nine tenths of a kernel's size.
    "release": (["-O3", "-g0"], []),
    "checked": (["-O1", "-g", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"], []),
    "asan": (
        ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address"],
        ["-fsanitize=address"],
    ),
}
if BUILD not in FLAGS:
    raise SystemExit(f"setup.py: QNODEOS_BUILD is {BUILD!r}, expected one of {', '.join(FLAGS)}")
COMPILE, LINK = FLAGS[BUILD]
CHECKED = BUILD == "checked"

extensions = [
    Extension(
        f"cext.{source.stem}",
        [source.relative_to(HERE).as_posix()],
        include_dirs=[np.get_include(), (HERE / "cext").as_posix()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        depends=[header.as_posix() for header in sorted(Path("cext").glob("*.h"))],
        extra_compile_args=COMPILE,
        extra_link_args=LINK,
    )
    for source in sorted((HERE / "cext").glob("*.pyx"))
]

setup(
    # The compiler takes minutes for all of them one after the other.
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython" if BUILD == "release" else f"build/cython-{BUILD}",
        compiler_directives={
            "language_level": "3",
            "boundscheck": CHECKED,
            "overflowcheck": CHECKED,
            "show_performance_hints": not CHECKED,
            "wraparound": False,
        },
    ),
)
