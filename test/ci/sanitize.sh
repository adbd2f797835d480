#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The programs of the unit and conformance suites under AddressSanitizer and UndefinedBehaviorSanitizer.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

build=$root/build-asan
# clang's sanitizer runtime is linked into the program, so undefined symbols are no error;
# the fuzzers have a stage of their own.
setup_build "$build" -Db_sanitize=address,undefined -Db_lundef=false -Dfuzzers=false \
    --buildtype=debugoptimized
compiled_tests "$build"
ninja -C "$build" -j "$jobs" "${targets[@]}"
export ASAN_OPTIONS=detect_leaks=1:halt_on_error=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export LSAN_OPTIONS=suppressions=$root/test/ci/lsan.supp:print_suppressions=0
run_tests "$build" --suite unit --suite conformance --timeout-multiplier 5 "${tests[@]}"
