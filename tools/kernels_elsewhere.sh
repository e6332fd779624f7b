#!/usr/bin/env bash
# Compiles the C bodies of the kernels for aarch64 and for this machine, checks both against plain
# loops and with each other; aarch64 runs in QEMU. Usage: tools/kernels_elsewhere.sh
# Needs gcc, aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu) and qemu-aarch64 (qemu-user);
# without one of the latter two it says so and ends with 77, which test runners take as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
  if ! command -v "$tool" > /dev/null; then
    echo "skipped: there is no $tool; install gcc-aarch64-linux-gnu and qemu-user"
    exit 77
  fi
done
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
flags=(-std=c11 -O3 -Wall -Wextra -Wno-unused-function -Icext tools/kernels_elsewhere.c)
gcc "${flags[@]}" -o "$built/here"
aarch64-linux-gnu-gcc "${flags[@]}" -static -o "$built/there"
"$built/here" > "$built/here.txt"
qemu-aarch64 "$built/there" > "$built/there.txt"
sed 's/^/here:    /' "$built/here.txt"
sed 's/^/aarch64: /' "$built/there.txt"
if [ "$(cut -d: -f2 "$built/here.txt" "$built/there.txt" | sort -u | wc -l)" != 1 ]; then
  echo "the results differ"
  exit 1
fi
echo "all paths agree"
