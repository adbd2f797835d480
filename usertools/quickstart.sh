#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# From a bare Debian 12 machine to a served load: installs packages, builds, starts a memory node and
# a compute node on a virtual Ethernet cable, lets dinomo-bench load and check them, removes all again.
#
# usage: quickstart.sh [--seconds N] [--keys N] [--keep] [--json FILE] [--port KIND]
#                      [--fabric KIND] [--kns N [--png FILE]] [--help]
#   --seconds N   length of the measured run (default 10)
#   --keys N      keys of 1 KiB to load (default 100000)
#   --keep        leave everything running and say how to use and how to end it
#   --json FILE   write the figures there as well
#   --port KIND   af_packet, af_xdp, or auto: af_xdp, and af_packet where that does not start
#   --fabric KIND shm (default), or mlx5-soft: direct verbs on a model of a ConnectX, a process of its own
#   --kns N       N compute nodes, 2 to 16, each with a port and a namespace of its own: a demonstration that
#                 adds one, drains one, kills one and starts it again under load, and draws what happened
#   --png FILE    where that picture goes (default build/elastic_demo.png)
# Needs root (network namespaces). Exit status: 0 all was served and right, 1 a step failed.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/lib.sh
. "$root/test/lib.sh"

server_ip=10.77.0.2
client_ip=10.77.0.1
seconds=10
keys=100000
keep=no
json=''
port=auto
fabric=shm
kns=1
png=''
steps=6

hca_folder=drivers/fabric/mlx5/softhca  # in the build directory

step='arguments'
hint='see --help'
step_number=0
build=$root/build
work=''
namespace=dq$$
server_if=dqs$$
client_if=dqc$$
hca_pid=''
dpm_pid=''
kn_pid=''
preload=()
fabric_arguments=()
listen=''

usage() { sed -n '6,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

begin_step() {
    step_number=$((step_number + 1))
    step=$1
    hint=$2
    printf '\n[%d/%d] %s\n' "$step_number" "$steps" "$step"
}

fail() {
    trap - ERR
    {
        printf '\nquickstart: step %d failed: %s\n' "$step_number" "$step"
        [ $# -eq 0 ] || printf '  what:  %s\n' "$*"
        printf '  to do: %s\n' "$hint"
        if [ -n "$work" ]; then
            for log in "$work"/*.log; do
                [ -s "$log" ] || continue
                printf '  last lines of %s:\n' "$(basename "$log")"
                tail -n 12 "$log" | sed 's/^/    /'
            done
        fi
    } >&2
    exit 1
}

end_process() {  # PID: asks, waits, insists
    local pid=$1
    [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

remove_network() {
    ip link del "$server_if" 2>/dev/null || true
    ip netns del "$namespace" 2>/dev/null || true
}

clean_up() {
    local status=$?
    trap - EXIT
    if [ "$keep" = yes ] && [ "$status" -eq 0 ]; then
        exit 0
    fi
    end_process "$kn_pid"
    end_process "$dpm_pid"
    end_process "$hca_pid"
    remove_network
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --seconds | --keys | --json | --port | --fabric | --kns | --png)
                [ $# -ge 2 ] || fail "$1 needs a value"
                ;;&
            --seconds) seconds=$2; shift 2 ;;
            --keys) keys=$2; shift 2 ;;
            --json) json=$2; shift 2 ;;
            --port) port=$2; shift 2 ;;
            --fabric) fabric=$2; shift 2 ;;
            --kns) kns=$2; shift 2 ;;
            --png) png=$2; shift 2 ;;
            --keep) keep=yes; shift ;;
            --help | -h) usage; exit 0 ;;
            *) fail "unknown argument '$1'" ;;
        esac
    done
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "--seconds takes a whole number, not '$seconds'"
    [[ $keys =~ ^[1-9][0-9]*$ ]] || fail "--keys takes a whole number, not '$keys'"
    case $port in auto | af_packet | af_xdp) ;; *) fail "--port takes auto, af_packet or af_xdp" ;; esac
    case $fabric in shm | mlx5-soft) ;; *) fail "--fabric takes shm or mlx5-soft" ;; esac
    [[ $kns =~ ^([1-9]|1[0-6])$ ]] || fail "--kns takes 1 to 16, not '$kns'"
    [ "$kns" -gt 1 ] || [ -z "$png" ] || fail '--png is for --kns 2 and more'
    [ "$kns" -gt 1 ] || return 0
    [ "$fabric" = shm ] || fail '--kns runs over shared memory: leave --fabric out'
    [ "$port" != af_xdp ] || fail '--kns takes its packets by af_packet: leave --port out'
    steps=7
}

install_packages() {
    begin_step 'packages' 'run it as root on Debian 12 with a network, or install what is named above'
    [ "$(id -u)" -eq 0 ] || fail 'not root'
    local groups=(build run)
    [ "$kns" -eq 1 ] || groups+=(lab)
    "$root/usertools/install-packages.sh" "${groups[@]}"
    echo 'all there'
}

build_programs() {
    begin_step 'build' "look at the compiler's messages above; a broken build directory may be removed: $build"
    # Tests are not needed here; a build directory that is there already is used as it is.
    setup_build "$build" -Dtests=false >"$work/configure.log" 2>&1
    local softhca=()
    if [ "$fabric" = mlx5-soft ]; then
        softhca=("$hca_folder/dinomo-softhca" "$hca_folder/libdinomo_softhca_preload.so")
    fi
    ninja -C "$build" -j "$jobs" "${softhca[@]}" app/dinomo-kn/dinomo-kn app/dinomo-dpm/dinomo-dpm \
        app/dinomo-bench/dinomo-bench app/dinomo-cli/dinomo-cli >"$work/build.log" 2>&1
    rm -f "$work/configure.log" "$work/build.log"
    echo "programs in $build/app"
}

make_network() {
    begin_step 'network' 'the kernel must have veth and network namespaces (in a container: --privileged)'
    ip netns add "$namespace"
    ip link add "$server_if" type veth peer name "$client_if" netns "$namespace"
    # No address here: dinomo-kn answers on this end, the kernel must not.
    ip link set "$server_if" up
    ip -n "$namespace" link set lo up
    ip -n "$namespace" address add "$client_ip/24" dev "$client_if"
    ip -n "$namespace" link set "$client_if" up
    echo "cable $server_if (appliance, $server_ip) -- $client_if (clients, $client_ip, namespace $namespace)"
}

# wait_for PID SECONDS COMMAND...: until the command succeeds; fails early if the process ends.
wait_for() {
    local pid=$1 limit=$2
    shift 2
    for _ in $(seq $((limit * 20))); do
        if "$@"; then return 0; fi
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

kn_serving() { grep -Eqs '"phase": *"serving"' "$work/kn.json"; }

# The programs find a ConnectX that is not there: a model of it runs as a process, their libmlx5 talks to it.
start_hca() {
    "$build/$hca_folder/dinomo-softhca" --socket "$work/hca.sock" >"$work/hca.log" 2>&1 &
    hca_pid=$!
    wait_for "$hca_pid" 30 grep -qs ready "$work/hca.log" || fail 'the soft HCA does not start'
    preload=(env "DINOMO_SOFTHCA=$work/hca.sock"
        "LD_PRELOAD=$build/$hca_folder/libdinomo_softhca_preload.so")
    fabric_arguments=(--fabric mlx5)
    listen=127.0.0.1:$((20000 + $$ % 10000))
    echo "a soft HCA stands in for a ConnectX (process $hca_pid)"
}

dpm_listens() { grep -qs 'listening on' "$work/dpm.log"; }

start_dpm() {
    begin_step 'memory node' "there must be room for the pool in ${work}; TMPDIR chooses another place"
    # Entries are the values and some more; the log keeps old ones until they are merged.
    local pool_mib=$((keys * 5 / 1024 + 512))
    listen=$work/dpm.sock
    [ "$fabric" = shm ] || start_hca
    "${preload[@]}" "$build/app/dinomo-dpm/dinomo-dpm" --pool "$work/pool" \
        --pool-bytes "${pool_mib}m" "${fabric_arguments[@]}" --listen "$listen" --stats-file "$work/dpm.json" >"$work/dpm.log" 2>&1 &
    dpm_pid=$!
    wait_for "$dpm_pid" 30 dpm_listens || fail 'dinomo-dpm does not listen'
    echo "dinomo-dpm serves a pool of $pool_mib MiB (process $dpm_pid)"
}

start_kn_on() {  # KIND of port
    # Without huge pages --in-memory is refused; --no-shconf leaves no files behind either.
    local vdev memory=(--no-shconf --no-huge -m 512)
    case $1 in
        af_xdp) vdev="net_af_xdp0,iface=$server_if,busy_budget=0" ;;
        af_packet) vdev="net_af_packet0,iface=$server_if,framecnt=8192" ;;
    esac
    if [ "$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)" -ge 256 ] &&
        [ "$(awk '/^Hugepagesize:/ { print $2 }' /proc/meminfo)" -eq 2048 ]; then
        memory=(--in-memory -m 512)
    fi
    rm -f "$work/kn.json"
    "${preload[@]}" "$build/app/dinomo-kn/dinomo-kn" "${memory[@]}" --no-pci --no-telemetry \
        --lcores "$(lcores)" --vdev "$vdev" -- \
        "${fabric_arguments[@]}" --dpm "$listen" --ip "$server_ip/24" --cache-bytes 256m \
        --stats-file "$work/kn.json" >"$work/kn.log" 2>&1 &
    kn_pid=$!
    wait_for "$kn_pid" 30 kn_serving && return 0
    end_process "$kn_pid"
    kn_pid=''
    return 1
}

# Control lcore on the first CPU that we may use, the worker on the last one.
lcores() {
    local cpus
    cpus=$(awk '/^Cpus_allowed_list:/ { print $2 }' /proc/self/status)
    echo "0@${cpus%%[-,]*},1@${cpus##*[-,]}"
}

start_kn() {
    begin_step 'compute node' 'read the log below; --port af_packet needs least of the kernel'
    local kind
    for kind in af_xdp af_packet; do
        [ "$port" = auto ] || [ "$port" = "$kind" ] || continue
        if start_kn_on "$kind"; then
            echo "dinomo-kn serves on $server_if by $kind, without kernel sockets (process $kn_pid)"
            port=$kind
            return 0
        fi
        echo "dinomo-kn did not start by $kind"
    done
    fail 'dinomo-kn does not serve'
}

run_load() {
    begin_step "load of $keys keys, then YCSB B for $seconds s, every value checked" \
        'a wrong or lost answer is a defect: please report it with the output above'
    ip netns exec "$namespace" "$build/app/dinomo-bench/dinomo-bench" --server "$server_ip" \
        --workload b --keys "$keys" --seconds "$seconds" --verify --json "$work/result.json"
    [ -z "$json" ] || cp "$work/result.json" "$json"
}

# The rest is done by another program, which removes what it makes by itself.
run_demo() {
    local arguments=(--kns "$kns" --seconds "$seconds" --keys "$keys" --json "$json" --png "$png")
    [ "$keep" = no ] || arguments+=(--keep)
    rm -rf "$work"
    exec /usr/bin/python3 "$root/usertools/elastic_demo.py" "$build" "${arguments[@]}"
}

summary() {
    printf '\nDone: every answer was right. The appliance took its packets straight from %s (%s),\n' \
        "$server_if" "$port"
    printf 'held hot values in its own memory and wrote each change into the pool before it said yes.\n'
    [ -z "$json" ] || printf 'Figures: %s\n' "$json"
    if [ "$keep" = yes ]; then
        disown "$kn_pid" "$dpm_pid"
        [ -z "$hca_pid" ] || disown "$hca_pid"
        cat <<TEXT

Still running. Try:
  alias d='ip netns exec $namespace $build/app/dinomo-cli/dinomo-cli --server $server_ip'
  d put colour blue; d get colour; d ring; d stats
Live counters:  $work/kn.json  $work/dpm.json      logs: $work/*.log
To end it:
  kill $kn_pid $dpm_pid $hca_pid; ip link del $server_if; ip netns del $namespace; rm -rf $work
TEXT
    else
        printf 'Everything that was made has been removed; --keep leaves it running. Next: README.md\n'
    fi
}

parse_arguments "$@"
trap clean_up EXIT
trap 'exit 130' INT TERM
trap fail ERR
work=$(mktemp -d "${TMPDIR:-/tmp}/dinomo-quickstart-XXXXXX")
install_packages
build_programs
[ "$kns" -eq 1 ] || run_demo
make_network
start_dpm
start_kn
run_load
summary
