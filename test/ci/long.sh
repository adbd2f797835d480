#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The system tests that take minutes: suite `long`.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

build=$root/build
setup_build "$build"
with_tests "$build"
ninja -C "$build" -j "$jobs"
if ! meson test -C "$build" --no-rebuild --list --suite long 2>/dev/null | grep -q .; then
    echo "there is no test in suite long"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
run_tests "$build" --suite long
