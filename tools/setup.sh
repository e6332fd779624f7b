#!/usr/bin/env bash
# Makes the virtual environment and builds the kernels into it. Usage: tools/setup.sh demo|test|docs
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-demo}
venv=${VENV:-.venv}

new_enough() {
  command -v "$1" >/dev/null 2>&1 &&
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2])' 2>/dev/null
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

has_headers() {
  "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
}

# The distribution's Python comes first, if it lacks nothing: it is built with profiles, which one
# that was compiled by hand, or by pyenv, mostly is not, and a pair then takes an eighth longer.
find_python() {
  local candidate
  if [ -z "${PYTHON:-}" ] && new_enough /usr/bin/python3 && has_venv /usr/bin/python3 &&
    has_headers /usr/bin/python3; then
    echo /usr/bin/python3
    return 0
  fi
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if new_enough "$candidate"; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

missing() {
  local python
  command -v "${CC:-cc}" >/dev/null 2>&1 || echo gcc libc6-dev
  if ! python=$(find_python); then
    echo python3 python3-venv python3-dev
    return 0
  fi
  has_venv "$python" || echo python3-venv
  has_headers "$python" || echo python3-dev
}

needed=$(echo $(missing))  # on one line
if [ -n "$needed" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing $needed"
    apt-get update -q
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $needed
  else
    echo "setup: this machine lacks $needed" >&2
    echo "  install it, on Debian or Ubuntu with: sudo apt-get install $needed" >&2
    exit 2
  fi
fi

# What tests use of other programs, and are skipped without: a browser, a broker, and the tool that
# reads our Prometheus alerts.
if [ "$kind" = test ]; then
  extra=""
  command -v chromium >/dev/null 2>&1 || extra="$extra chromium"
  command -v mosquitto >/dev/null 2>&1 || [ -x /usr/sbin/mosquitto ] || extra="$extra mosquitto"
  command -v promtool >/dev/null 2>&1 || extra="$extra prometheus"
  if [ -n "$extra" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing$extra"
    # shellcheck disable=SC2086  # a list of packages
    { apt-get update -q &&
      DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $extra; } \
      >/dev/null 2>&1 || echo "setup: they could not be installed; tests that need them are skipped" >&2
  elif [ -n "$extra" ]; then
    echo "setup: without$extra the tests that need them are skipped" >&2
  fi
fi

# A virtual environment that was left half-made has no pip.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$(find_python)" -m venv --clear "$venv"
case $kind in
  demo) extras=demo,plot ;;
  test) extras=demo,plot,test ;;
  docs) extras=docs ;;
  *) echo "setup: '$kind' is not a kind of set-up; use demo, test or docs" >&2; exit 2 ;;
esac
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
