#!/usr/bin/env bash
# Installs what is missing on Debian 12 or Ubuntu 24.04: packages, then the virtual environment. Usage: setup.sh PYTHON VENV
set -euo pipefail
python=$1
venv=$2

packages=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
command -v gcc >/dev/null || packages+=(gcc)
[ -e /usr/include/stdio.h ] || packages+=(libc6-dev)
command -v arm-none-eabi-gcc >/dev/null || packages+=(gcc-arm-none-eabi)
[ -e /usr/lib/arm-none-eabi/newlib/libc.a ] || packages+=(libnewlib-arm-none-eabi)
command -v cmake >/dev/null || packages+=(cmake)
command -v qemu-system-arm >/dev/null || packages+=(qemu-system-arm)
command -v openocd >/dev/null || packages+=(openocd)
command -v st-flash >/dev/null || packages+=(stlink-tools)
command -v ser2net >/dev/null || [ -x /usr/sbin/ser2net ] || packages+=(ser2net) # through which labgrid's exporter shares a serial port

if [ ${#packages[@]} -gt 0 ]; then
    echo "missing Debian packages: ${packages[*]}" >&2
    if [ "$(id -u)" = 0 ]; then
        as_root=()
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=(sudo)
    else
        echo "run this as root, then make again:" >&2
        echo "    apt-get update && apt-get install -y --no-install-recommends ${packages[*]}" >&2
        exit 4
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'

# labgrid brings a pyserial of its own: it gets an environment of its own, as pipx would give it one.
if [ ! -x "$venv/bin/labgrid-client" ]; then
    "$venv/bin/python" -m venv "$venv/labgrid"
    "$venv/labgrid/bin/python" -m pip install --quiet --disable-pip-version-check 'labgrid>=25,<27'
    for program in client coordinator exporter; do ln -sfn "../labgrid/bin/labgrid-$program" "$venv/bin/labgrid-$program"; done
fi
