#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs the Debian packages of the named groups (usertools/packages.txt); does nothing, and needs
# no network and no root, if they are there.
# usage: install-packages.sh GROUP...      groups: build run test bench lab guest
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ $# -eq 0 ]; then
    sed -n '3,5s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi

wanted=()
for group in "$@"; do
    mapfile -t found < <(awk -v g="$group" '$1 == g { print $2 }' "$here/packages.txt")
    if [ ${#found[@]} -eq 0 ]; then
        echo "install-packages: no group '$group' in $here/packages.txt" >&2
        exit 2
    fi
    wanted+=("${found[@]}")
done

missing=()
for package in "${wanted[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
    echo "install-packages: missing: ${missing[*]}" >&2
    echo "install-packages: run as root, or: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "install-packages: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -q --no-install-recommends "${missing[@]}"; }
# The package lists may be absent (fresh image) or old: try, update once, try again.
if install >/dev/null 2>&1; then
    exit 0
fi
if ! apt-get update -q; then
    echo "install-packages: apt-get update failed: no network, or no Debian mirror in reach." >&2
    echo "install-packages: these packages are missing: ${missing[*]}" >&2
    exit 1
fi
install
