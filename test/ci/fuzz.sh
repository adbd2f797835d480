#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every fuzz target for a fixed number of executions, from generated seeds. DINOMO_FUZZ_RUNS: how many.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

build=$root/build
setup_build "$build"
with_tests "$build"
ninja -C "$build" -j "$jobs"
export DINOMO_FUZZ_RUNS=${DINOMO_FUZZ_RUNS:-1000000}
run_tests "$build" --suite fuzz --timeout-multiplier 10
