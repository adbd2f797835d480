#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# clang-tidy over libraries, drivers and programs. One case a file.
set -uo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$root" || exit 1

build=$root/build
setup_build "$build" >/dev/null || die "configuration failed"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What is compiled once more with planted bugs is not what ships, and has other flags.
python3 - "$build" "$work" <<'FILTER'
import json, sys
with open(sys.argv[1] + "/compile_commands.json", encoding="utf-8") as file:
    commands = json.load(file)
with open(sys.argv[2] + "/compile_commands.json", "w", encoding="utf-8") as file:
    json.dump([c for c in commands if "DINOMO_PLANTED_BUGS" not in c["command"]], file)
FILTER
# The examples are compiled by install_test.py, as their users would.
# shellcheck disable=SC2016  # expanded by the inner shell
git ls-files 'lib/*.cc' 'drivers/*.cc' 'app/*.cc' ':!lib/sdk/examples' |
    xargs -P "$jobs" -I{} bash -c '
        out=$(mktemp -p "$0")
        if clang-tidy-19 --quiet -p "$0" "$2" >"$out" 2>/dev/null; then
            echo "$2" >>"$0/passed"
        else
            echo "$2" >>"$0/failed"
            grep -E "(error|warning): " "$out"
        fi' "$work" "$build" {}
touch "$work/passed" "$work/failed"
if [ -s "$work/failed" ]; then
    echo "findings in:"
    sed 's/^/  /' "$work/failed"
fi
echo "$(wc -l <"$work/passed") passed, $(wc -l <"$work/failed") failed, 0 skipped"
[ ! -s "$work/failed" ]
