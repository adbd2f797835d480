# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced in the guest before a script: two soft-RoCE devices with a cable between them, persistent memory.
#   rxe0 on ve0, 10.9.0.1      rxe1 on ve1, 10.9.0.2      /dev/pmem0 if there is persistent memory
modprobe -a veth rdma_ucm ib_uverbs rdma_rxe sch_netem nd_pmem nfit dax_pmem device_dax ext4 crc32c_generic
hostname guest
ip link set lo up
ip link add ve0 type veth peer name ve1
sysctl -q net.ipv4.conf.all.accept_local=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
for end in 0 1; do
    ip link set "ve$end" address "02:00:00:00:09:0$end" mtu 4400 up
    ip addr add "10.9.0.$((end + 1))/24" dev "ve$end"
    sysctl -q "net.ipv4.conf.ve$end.accept_local=1" "net.ipv4.conf.ve$end.rp_filter=0"
done
# Both ends are this machine's; without these rules what one sends to the other never sees the cable.
for end in 0 1; do
    other=$((1 - end))
    ip neigh replace "10.9.0.$((other + 1))" lladdr "02:00:00:00:09:0$other" dev "ve$end" nud permanent
    ip route add 10.9.0.0/24 dev "ve$end" src "10.9.0.$((end + 1))" table "10$end"
    ip rule add pref 1 iif "ve$end" lookup local
    ip rule add pref 2 to "10.9.0.$((other + 1))" lookup "10$end"
done
ip rule add pref 100 lookup local
ip rule del pref 0
rdma link add rxe0 type rxe netdev ve0
rdma link add rxe1 type rxe netdev ve1
ulimit -l unlimited
ulimit -n 65536
