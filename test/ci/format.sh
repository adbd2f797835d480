#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Layout of C and C++ by clang-format, shell scripts by shellcheck. One case a file.
set -uo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$root" || exit 1

passed=0
failed=0
check() {
    local file=$1
    shift
    if "$@" "$file"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}
while read -r file; do
    check "$file" clang-format-19 --dry-run --Werror
done < <(git ls-files '*.h' '*.cc' '*.c')
while read -r file; do
    check "$file" shellcheck -x
done < <(git ls-files '*.sh' .ci/run)
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
