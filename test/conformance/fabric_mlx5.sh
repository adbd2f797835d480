#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs a program that uses the mlx5 driver over a soft HCA: in its own process, or in another one.
# slow: another one that takes its time for each WQE and keeps a dead program's queue pairs; its process
# is in DINOMO_SOFTHCA_PID, so that the program can stop it.
# usage: fabric_mlx5.sh inline|process|slow PRELOAD_LIBRARY DEVICE_PROGRAM PROGRAM [ARGUMENT]...
set -uo pipefail
mode=$1 preload=$2 device=$3
shift 3
# AddressSanitizer has to be the first library of a process; the factory suite runs under it.
if ldd "$1" 2>/dev/null | grep -q 'lib[at]san' || nm -a "$1" 2>/dev/null | grep -qE '__(asan|tsan)_init'; then
    echo "skipped: a library cannot be preloaded under a sanitizer"
    exit 77
fi
if [ "$mode" = inline ]; then
    LD_PRELOAD=$preload "$@"
    exit
fi
case $mode in
    slow) faults=(--linger-ms 60000 --pace-us 1000) ;;
    *) faults=(--seed 3 --delay-cqe 100 --tear 100 --read-again 100) ;;
esac
folder=$(mktemp -d)
"$device" --socket "$folder/hca.sock" "${faults[@]}" >"$folder/log" 2>&1 &
pid=$!
export DINOMO_SOFTHCA_PID=$pid
trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$folder"' EXIT
for _ in $(seq 100); do
    if grep -qs ready "$folder/log" || ! kill -0 "$pid" 2>/dev/null; then break; fi
    sleep 0.1
done
DINOMO_SOFTHCA=$folder/hca.sock LD_PRELOAD=$preload "$@"
status=$?
kill "$pid"
wait "$pid"
device_status=$?
trap 'rm -rf "$folder"' EXIT
if [ "$device_status" -ne 0 ]; then
    echo "the device found fault with the driver:"
    cat "$folder/log"
    [ "$status" -ne 0 ] || status=1
fi
exit "$status"
