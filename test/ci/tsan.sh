#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# ThreadSanitizer on the parts that threads share: `threaded` names their tests.
# usage: tsan.sh [TEST]...    default: those named below
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

threaded=("$@")
[ $# -gt 0 ] || threaded=(app_common cache idle index dpm client fabric)

build=$root/build-tsan
setup_build "$build" -Db_sanitize=thread -Db_lundef=false -Dfuzzers=false
compiled_tests "$build" "${threaded[@]}"
ninja -C "$build" -j "$jobs" "${targets[@]}"
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$root/test/ci/tsan.supp
run_tests "$build" --suite unit --suite conformance --timeout-multiplier 10 "${tests[@]}"
