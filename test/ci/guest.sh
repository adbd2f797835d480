#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Soft-RoCE and persistent memory, in a small guest.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

if ! "$root/usertools/install-packages.sh" guest >/dev/null; then
    echo "skipped: the packages of group guest (usertools/packages.txt) cannot be installed"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
build=$root/build-guest
# QEMU emulates no AVX-512.
setup_build "$build" -Dmachine=x86-64-v3 -Dfuzzers=false
ninja -C "$build" -j "$jobs" test/conformance/conformance_fabric_rdma_device test/tools/ack_writer \
    app/dinomo-{bench/dinomo-bench,cli/dinomo-cli,dpm/dinomo-dpm,kn/dinomo-kn}
exec "$root/test/guest/guest_test.py" "$build" --folder "$build/guest"
