#!/usr/bin/env bash
# Installs qnodeos on a rack PC (Debian, Ubuntu): a virtual environment in /opt/qnodeos, a user, units and udev rules.
# Running it again upgrades; configuration, keys and data are never touched.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
  cat <<'TEXT'
usage: sudo packaging/install.sh [--wheel FILE] [--extras LIST] [--root DIR] [--remove]

  --wheel FILE    install this wheel; without it one is built from the checkout
  --extras LIST   extras of the package, such as instruments,demo (default: instruments,demo)
  --root DIR      put everything below DIR and change nothing else: for a look beforehand
  --remove        take the program, its units and rules away; /etc/qnodeos and /var/lib/qnodeos stay
TEXT
}

wheel='' extras=instruments,demo root='' remove=no
while [ $# -gt 0 ]; do
  case $1 in
    --wheel | --extras | --root)
      [ $# -ge 2 ] || { echo "install: $1 needs a value" >&2; exit 2; }
      case $1 in
        --wheel) wheel=$2 ;;
        --extras) extras=$2 ;;
        --root) root=${2%/} ;;
      esac
      shift 2
      ;;
    --remove) remove=yes; shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "install: '$1' is not an option" >&2; usage >&2; exit 2 ;;
  esac
done

if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
  echo "install: this writes to /opt, /etc and /var/lib; run it with sudo, or with --root DIR" >&2
  exit 2
fi
if [ -n "$wheel" ] && [ ! -f "$wheel" ]; then
  echo "install: there is no wheel $wheel" >&2
  exit 2
fi

# With --root nothing of the running machine is changed.
live() { [ -z "$root" ] && command -v "$1" >/dev/null 2>&1; }

if [ "$remove" = yes ]; then
  if live systemctl && [ -d /run/systemd/system ]; then
    systemctl disable --now 'qnodeos@*' qnodeos-broker.service 2>/dev/null || true
  fi
  rm -rf "$root/opt/qnodeos"
  rm -f "$root"/etc/systemd/system/qnodeos@.service "$root"/etc/systemd/system/qnodeos-broker.service \
    "$root/etc/udev/rules.d/60-qnodeos.rules" "$root/usr/local/bin/qnodeos"
  if live systemctl && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
  echo "removed; configuration and data are still in /etc/qnodeos and /var/lib/qnodeos"
  exit 0
fi

# The wheel is built, and everything that can be missing is found, before anything is changed.
python=''
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null 2>&1 &&
    "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2])' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "install: Python 3.11 or newer with venv is missing; apt-get install python3-venv" >&2
  exit 2
fi
if [ -z "$wheel" ]; then
  command -v cc >/dev/null 2>&1 || {
    echo "install: a wheel is built from the checkout and that needs a compiler; apt-get install gcc libc6-dev python3-dev" >&2
    echo "  or give one that was built elsewhere: --wheel FILE" >&2
    exit 2
  }
  build=$(mktemp -d)
  trap 'rm -rf "$build"' EXIT
  echo "install: building the wheel"
  "$python" -m venv "$build/venv"
  "$build/venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$build" "$here/.."
  wheel=$(echo "$build"/qnodeos-*.whl)
fi

if [ -z "$root" ]; then
  getent group qnodeos >/dev/null || groupadd --system qnodeos
  getent passwd qnodeos >/dev/null ||
    useradd --system --gid qnodeos --home-dir /var/lib/qnodeos --shell /usr/sbin/nologin qnodeos
fi
install -d -m 0755 "$root/opt" "$root/etc/systemd/system" "$root/etc/udev/rules.d" "$root/usr/local/bin"
install -d -m 0750 "$root/etc/qnodeos" "$root/var/lib/qnodeos"
if [ -z "$root" ]; then
  chown root:qnodeos /etc/qnodeos
  chown qnodeos:qnodeos /var/lib/qnodeos
fi

venv=$root/opt/qnodeos
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
echo "install: installing $(basename "$wheel") [$extras]"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "$wheel[$extras]"

install -d "$venv/share/doc"
cp -r "$here"/../docs/*.md "$here"/../docs/pictures "$venv/share/doc/"
install -m 0644 "$here"/systemd/*.service "$root/etc/systemd/system/"
install -m 0644 "$here"/udev/60-qnodeos.rules "$root/etc/udev/rules.d/"
ln -sfn /opt/qnodeos/bin/qnodeos "$root/usr/local/bin/qnodeos"

if live systemctl && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if live udevadm; then
  udevadm control --reload-rules 2>/dev/null && udevadm trigger --subsystem-match=usb --subsystem-match=tty || true
fi
"$venv/bin/python" -c 'import cext.coincidence'  # the kernels load on this machine

cat <<TEXT
installed $("$venv/bin/qnodeos" --version)
  1. qnodeos init /etc/qnodeos/NAME.toml --data-dir /var/lib/qnodeos/NAME; chown -R qnodeos: /etc/qnodeos/keys
  2. sudo -u qnodeos qnodeos check /etc/qnodeos/NAME.toml; sudo -u qnodeos qnodeos doctor
  3. systemctl enable --now qnodeos@NAME; journalctl -fu qnodeos@NAME shows it
TEXT
