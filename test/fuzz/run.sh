#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs one fuzz target for a fixed number of executions, from generated seeds and from the inputs that
# longer searches have kept: corpus/KIND.tar.xz.
# usage: run.sh FUZZER MAKE_SEEDS KIND MAX_BYTES      DINOMO_FUZZ_RUNS: executions (default 20000)
set -euo pipefail
fuzzer=$1
make_seeds=$2
kind=$3
max_bytes=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$make_seeds" "$kind" "$work/corpus"
tar -xJf "$(dirname "${BASH_SOURCE[0]}")/corpus/$kind.tar.xz" -C "$work/corpus"
seeds=$(find "$work/corpus" -type f | wc -l)
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
if ! "$fuzzer" -runs="${DINOMO_FUZZ_RUNS:-20000}" -seed=1 -max_len="$max_bytes" -len_control=0 -timeout=10 \
    -print_final_stats=1 -artifact_prefix="$work/" "$work/corpus" >"$work/log" 2>&1; then
    # From the first finding on; before it stand libFuzzer's statistics.
    sed -n '/ERROR: \|runtime error: \|not true: /,$p' "$work/log" | head -n 60
    for input in "$work"/crash-* "$work"/leak-* "$work"/timeout-* "$work"/oom-*; do
        [ -e "$input" ] || continue
        echo "the input, to be kept as a unit test (base64):"
        base64 -w 0 "$input"
        echo
    done
    exit 1
fi
echo "$seeds inputs; $(grep -E 'stat::number_of_executed_units' "$work/log"), $(grep -E 'cov: ' "$work/log" | tail -n 1)"
