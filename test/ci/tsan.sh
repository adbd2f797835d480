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
mapfile -t known < <(meson test -C "$build" --list --no-rebuild --suite unit --suite conformance \
    2>/dev/null | sed 's/^.* \/ //')
tests=()
for name in "${threaded[@]}"; do
    for have in "${known[@]}"; do
        [ "$have" != "$name" ] || tests+=("$name")
    done
done
[ ${#tests[@]} -gt 0 ] || die "none of these tests exists: ${threaded[*]}"
targets=()
while read -r target; do targets+=("$target"); done < <(
    meson introspect "$build" --tests | python3 -c '
import json, os, sys
names = set(sys.argv[2:])
found = {os.path.relpath(t["cmd"][0], sys.argv[1]) for t in json.load(sys.stdin) if t["name"] in names
         and {s.split(":")[-1] for s in t["suite"]} & {"unit", "conformance"}}
print("\n".join(sorted(found)))' "$build" "${tests[@]}")
ninja -C "$build" -j "$jobs" "${targets[@]}"
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$root/test/ci/tsan.supp
run_tests "$build" --suite unit --suite conformance --timeout-multiplier 10 "${tests[@]}"
