#!/usr/bin/env bash
# Runs the kernel tests and the fuzzer on a checked build, in a copy: nothing here is touched.
# Usage: tools/checked_kernels.sh checked|asan [FUZZ_MINUTES]
#   checked  Cython's checks of bounds and overflows, and GCC's of undefined behaviour
#   asan     GCC's address sanitizer
# PYTHON names the interpreter that has the test packages (default .venv/bin/python), TESTS what to
# run (default tests/cext).
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?checked or asan}
minutes=${2:-0.2}
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

cp -r cext timing link_layer qnodeos tools setup.py pyproject.toml LICENSE "$copy"
mkdir -p "$copy/tests"
cp -r tests/cext "$copy/tests/"
find "$copy" -name '*.so' -delete
data=${QNODEOS_DATA:-$PWD/../shared/data}
cd "$copy"
touch README.md
QNODEOS_BUILD=$kind "$python" setup.py -q build_ext --inplace

export PYTHONPATH=$copy QNODEOS_DATA=$data
if [ "$kind" = asan ]; then
  # The interpreter is not built with it, so its runtime has to come first; its leaks are its own.
  LD_PRELOAD=$(gcc -print-file-name=libasan.so)
  export LD_PRELOAD ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc
fi
"$python" -c 'import cext.decode, pathlib; print(pathlib.Path(cext.decode.__file__).parent)'
# shellcheck disable=SC2086  # TESTS may hold several
"$python" -m pytest ${TESTS:-tests/cext} -q -p no:cacheprovider -o timeout=1200
"$python" tools/fuzz_decoders.py "$minutes"
