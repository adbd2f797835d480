# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What test/run.sh and the stages in test/ci/ share. Sourced.
# shellcheck disable=SC2034  # used by those who source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=${DINOMO_JOBS:-$(nproc)}

note() { printf '\n== %s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# setup_build DIR [meson option]...: a build directory of this checkout and of clang 19. One of
# another source folder or compiler is made anew; one that fits is left as it is.
setup_build() {
    local dir=$1
    shift
    if [ -e "$dir/meson-private/coredata.dat" ] && ! build_fits "$dir"; then
        echo "$dir was made from another checkout or with another compiler: made anew"
        rm -rf "$dir"
    fi
    if [ ! -e "$dir/meson-private/coredata.dat" ]; then
        if [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ] && [ ! -d "$dir/meson-private" ]; then
            die "$dir exists and is no build directory; move it away"
        fi
        rm -rf "$dir"
        if command -v ccache >/dev/null; then
            CC='ccache clang-19' CXX='ccache clang++-19' meson setup "$dir" "$root" "$@"
        else
            CC=clang-19 CXX=clang++-19 meson setup "$dir" "$root" "$@"
        fi
    fi
}

build_fits() {
    python3 - "$1" "$root" <<'PYTHON'
import json, os, sys
info = os.path.join(sys.argv[1], 'meson-info')
try:
    source = json.load(open(os.path.join(info, 'meson-info.json')))['directories']['source']
    targets = json.load(open(os.path.join(info, 'intro-targets.json')))
except (OSError, ValueError, KeyError):
    sys.exit(1)
compilers = {c for t in targets for s in t['target_sources'] if s.get('language') == 'cpp'
             for c in s.get('compiler', []) if 'clang' in c or 'g++' in c}
sys.exit(0 if os.path.realpath(source) == os.path.realpath(sys.argv[2])
         and all('clang++-19' in c for c in compilers) else 1)
PYTHON
}

# with_tests DIR: the quick start configures without tests, and GoogleTest may have come since.
with_tests() {
    local dir=$1
    if meson introspect --buildoptions "$dir" |
        python3 -c 'import json, sys
sys.exit(not any(o["name"] == "tests" and not o["value"] for o in json.load(sys.stdin)))'; then
        meson configure "$dir" -Dtests=true
    fi
    if grep -q 'content skipped: test: GoogleTest' "$dir/meson-logs/meson-log.txt"; then
        meson configure "$dir" --clearcache
        meson setup --reconfigure "$dir" "$root"
    fi
}

# compiled_tests DIR [NAME]...: of the unit and conformance suites the tests that are programs of ours,
# all or those named. Sets the arrays tests (names) and targets (what they need built).
compiled_tests() {
    local dir=$1
    shift
    mapfile -t tests < <(compiled_of "$dir" tests "$@")
    mapfile -t targets < <(compiled_of "$dir" targets "$@")
    [ ${#tests[@]} -gt 0 ] || die "none of these tests exists: $*"
}

compiled_of() {
    python3 - "$@" <<'PYTHON'
import json, os, subprocess, sys
build, what, *names = sys.argv[1:]
def asked(kind):
    return json.loads(subprocess.run(['meson', 'introspect', build, kind], check=True, capture_output=True).stdout)
files = {t['id']: t['filename'] for t in asked('--targets')}
build = os.path.realpath(build)
found = [t for t in asked('--tests') if (not names or t['name'] in names) and t['cmd'][0].startswith(build + '/')
         and {s.split(':')[-1] for s in t['suite']} & {'unit', 'conformance'}]
needed = {f for t in found for f in [t['cmd'][0], *(f for d in t['depends'] for f in files[d])]}
print('\n'.join(sorted({t['name'] for t in found} if what == 'tests' else {os.path.relpath(f, build) for f in needed})))
PYTHON
}

# run_tests DIR [meson test option]...: runs, reports, and ends with the count line.
run_tests() {
    local dir=$1
    shift
    rm -f "$dir/meson-logs/testlog.json"
    local status=0
    meson test -C "$dir" --no-rebuild --print-errorlogs --num-processes "$jobs" "$@" || status=$?
    # The report's word counts: meson knows programs, it knows cases.
    python3 "$root/test/report.py" run "$dir" || status=1
    return "$status"
}
