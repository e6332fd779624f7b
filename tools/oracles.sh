#!/usr/bin/env bash
# Other people's clients judge our simulated instruments, each in a process and environment of its own.
# Usage: tools/oracles.sh [arguments for pytest]. The environment is build/oracles.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${VENV:-.venv}/bin/python
oracles=build/oracles
wanted=tests/oracles/requirements.txt

# Made anew only when what is wanted has changed: some of it is compiled.
if ! cmp -s "$wanted" "$oracles/.ready"; then
  rm -rf "$oracles"
  "$python" -m venv "$oracles"
  # Those that need the compiler or an old setuptools find them here.
  "$oracles/bin/python" -m pip install --quiet --disable-pip-version-check "setuptools<81" wheel cython numpy
  while read -r line; do
    package=${line%%#*}
    [ -n "${package// /}" ] || continue
    # One that cannot be had here fails its own tests, and those of the others still run.
    "$oracles/bin/python" -m pip install --quiet --disable-pip-version-check $package ||
      echo "oracles: $package could not be installed" >&2
  done < "$wanted"
  cp "$wanted" "$oracles/.ready"
fi
QNODEOS_ORACLES="$PWD/$oracles/bin/python" exec "$python" -m pytest tests/oracles "$@"
