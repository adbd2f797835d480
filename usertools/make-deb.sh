#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Makes dinomo_VERSION_ARCH.deb: programs, tools, client library, man pages, units, examples.
# usage: make-deb.sh [--build DIR] [--output DIR] [--revision TEXT]
#   --build DIR      package this build as it is; without it one is compiled for x86-64-v2 (build-deb)
#   --output DIR     where the package goes; default: here
#   --revision TEXT  makes it VERSION-TEXT: another package of the same release, as 1 or 1local2
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build='' output=$PWD revision=''

fail() {
    echo "make-deb: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --build | --output)
            [ $# -ge 2 ] || { echo "make-deb: $1 needs a folder" >&2; exit 2; }
            [ -d "$2" ] || fail "$2: no such folder"
            [ "$1" = --build ] && build=$(cd "$2" && pwd) || output=$(cd "$2" && pwd)
            shift 2
            ;;
        --revision)
            [[ ${2:-} =~ ^[A-Za-z0-9.+~]+$ ]] || { echo "make-deb: --revision takes letters, digits and . + ~" >&2; exit 2; }
            revision=$2
            shift 2
            ;;
        --help | -h) sed -n '3,7s/^# //p' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) sed -n '4,7s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
done
for needed in meson dpkg-deb dpkg-shlibdeps strip; do
    command -v "$needed" >/dev/null || fail "needs $needed: apt install meson dpkg-dev binutils"
done

compile() {
    build=$root/build-deb
    [ -f "$build/build.ninja" ] || CC=${CC:-clang-19} CXX=${CXX:-clang++-19} meson setup "$build" "$root" --prefix=/usr \
        --buildtype=release -Dmachine=x86-64-v2 -Dtests=false -Dfuzzers=false
    ninja -C "$build"
    ninja -C "$build" site || echo "make-deb: without HTML pages: sphinx is not here" >&2
}

# The prefix of the build becomes /usr, whatever it was.
stage_files() {
    local prefix
    prefix=$(meson introspect --buildoptions "$build" | python3 -c '
import json, sys
print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
    meson install -C "$build" --no-rebuild --quiet --destdir "$work/raw" >"$work/install.log" 2>&1 || {
        cat "$work/install.log" >&2
        fail 'meson install failed: is everything built?'
    }
    mkdir -p "$stage"
    mv "$work/raw$prefix" "$stage/usr"
    find "$stage/usr" -name '*.pc' -exec sed -i "s|^prefix=.*|prefix=/usr|" {} +
    local modules
    modules=$(find "$stage/usr/lib" -type d -path '*python3*' -name '*-packages' | head -1)
    [ -n "$modules" ] || fail 'the Python modules were not installed'
    if [ "$modules" != "$stage/usr/lib/python3/dist-packages" ]; then
        mkdir -p "$stage/usr/lib/python3"
        mv "$modules" "$stage/usr/lib/python3/dist-packages"
        find "$stage/usr/lib" -type d -empty -delete
    fi
    find "$stage/usr/lib/python3" -name __pycache__ -prune -exec rm -rf {} +
    # Tools find their modules by Debian's own interpreter, not one that happens to come first.
    grep -lI '^#!.*python3$' "$stage"/usr/bin/* | xargs -d '\n' sed -i '1s|.*|#!/usr/bin/python3|'
    add_system_files
    find "$stage/usr/share/man" -type f -exec gzip -9n {} +
    chmod -R u=rwX,go=rX "$stage"
}

add_system_files() {
    mkdir -p "$stage/lib/systemd/system" "$stage/etc/default" "$stage/etc/dinomo" "$stage/usr/share/doc/dinomo"
    cp "$root"/config/systemd/*.service "$stage/lib/systemd/system"
    cp "$root/config/systemd/dinomo-kn.default" "$stage/etc/default/dinomo-kn"
    cp "$root/LICENSE" "$stage/usr/share/doc/dinomo/copyright"
    [ ! -d "$build/doc/site/html" ] || cp -r "$build/doc/site/html" "$stage/usr/share/doc/dinomo/html"
}

strip_files() {
    find "$stage/usr/bin" "$stage/usr/lib" -type f | while read -r file; do
        case $(head -c 4 "$file" | tr -d '\0') in
            $'\x7fELF') strip --strip-unneeded "$file" ;;
        esac
    done
}

# What the programs link with, in the versions that they need.
shared_libraries() {
    local programs
    mapfile -t programs < <(find "$stage/usr/bin" "$stage/usr/lib" -type f -exec sh -c \
        'head -c 4 "$1" | grep -q ELF' _ {} \; -print)
    mkdir -p "$work/shlibs/debian"
    printf 'Source: dinomo\n\nPackage: dinomo\nArchitecture: any\n' >"$work/shlibs/debian/control"
    (cd "$work/shlibs" && dpkg-shlibdeps -O --ignore-missing-info -xdinomo \
        -l"$(dirname "$(find "$stage/usr/lib" -name 'libdinomo-client.so' | head -1)")" "${programs[@]}" 2>"$work/shlibs/log") |
        sed -n 's/^shlibs:Depends=//p'
}

control_files() {
    local depends
    depends=$(shared_libraries)
    [ -n "$depends" ] || { cat "$work/shlibs/log" >&2; fail 'dpkg-shlibdeps found nothing'; }
    mkdir -p "$stage/DEBIAN"
    cat >"$stage/DEBIAN/control" <<TEXT
Package: dinomo
Version: $version
Architecture: $arch
Maintainer: Dinomo maintainers <dinomo@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f1)
Depends: $depends, librte-meta-bus, librte-meta-mempool, librte-meta-net, python3, passwd
Recommends: dpdk, ibverbs-providers, iproute2, pmdk-tools
Suggests: python3-matplotlib, prometheus, ndctl
Section: database
Priority: optional
Description: key-value store for disaggregated persistent memory
 Compute nodes (dinomo-kn) own disjoint parts of the keys, cache what they own,
 and reach a pool of persistent memory (dinomo-dpm) one-sidedly, over RDMA or
 shared memory. Clients are served over UDP by DPDK. With tools for operators,
 and libraries for C, C++ and Python.
TEXT
    printf '/etc/default/dinomo-kn\n' >"$stage/DEBIAN/conffiles"
    for script in postinst prerm postrm; do
        install -m 755 "$root/config/debian/$script" "$stage/DEBIAN/$script"
    done
}

[ -n "$build" ] || compile
[ -f "$build/build.ninja" ] || fail "$build is no build folder"
work=$(mktemp -d "${TMPDIR:-/tmp}/dinomo-deb-XXXXXX")
trap 'rm -rf "$work"' EXIT
stage=$work/stage
version=$(meson introspect --projectinfo "$build" | python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')
version=$version${revision:+-$revision}
arch=$(dpkg --print-architecture)
stage_files
strip_files
control_files
dpkg-deb --root-owner-group --build "$stage" "$output/dinomo_${version}_$arch.deb" >/dev/null
echo "$output/dinomo_${version}_$arch.deb"
