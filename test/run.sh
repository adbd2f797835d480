#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs what is needed (Debian 12, as root), builds, runs every test suite.
# usage: test/run.sh [--build DIR] [--no-install] [meson test option]...
#   --build DIR     build directory (default: build in the checkout)
#   --no-install    never call apt
#   the rest goes to `meson test`, as in: test/run.sh --suite unit
# Last line: N passed, N failed, N skipped (single test cases). Exit status 0 only if none failed.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build=$root/build
install=yes
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=${2:?--build needs a directory}; shift 2 ;;
        --no-install) install=no; shift ;;
        --help | -h) sed -n '3,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) break ;;
    esac
done

finish_failed() {  # the last line is a count whatever happens
    printf '%s\n' "$*" >&2
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}

if [ "$install" = yes ]; then
    note "packages"
    "$root/usertools/install-packages.sh" build run test ||
        finish_failed "packages are missing, see above"
    echo "all there"
fi
note "build in $build"
{ setup_build "$build" && with_tests "$build"; } || finish_failed "configuration failed, see above"
ninja -C "$build" -j "$jobs" || finish_failed "the build failed, see above"
note "tests"
# The suite `long` is for .ci/run.
run_tests "$build" --no-suite long "$@"
