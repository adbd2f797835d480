// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-kn/kn_options.h"

#include <utility>

#include "app/dinomo-kn/memcached_tcp.h"
#include "common/align.h"
#include "ingress/network_list.h"

namespace dinomo::app {

namespace {

std::string check_cache_policy(const KnOptions& o) {
  if (cache::parse_policy(o.cache_policy)) return "";
  return "cache_policy '" + o.cache_policy +
         "' is unknown: use dac, value-only, shortcut-only, static:FRACTION (0 to 1) or none";
}

void add_memory_node(OptionTable& table, KnOptions* o) {
  table.group("Memory node");
  table.add(
      "dpm", &o->dpm,
      {.placeholder = "TARGET", .help = "where dinomo-dpm is reached: what its --listen says"});
  add_fabric_options(table, &o->fabric);
  table.add("kn_slot", &o->kn_slot,
            {.min = -1, .max = 1023, .help = "directory slot of this KN; -1 takes a free one"});
  table.add("name", &o->name,
            {.placeholder = "NAME", .help = "name of this KN in the directory, for people"});
  table.add("lease_ms", &o->lease_ms,
            {.unit = "ms",
             .min = 20,
             .max = 60'000,
             .help = "a KN that cannot reach its DPM for so long serves nothing"});
  table.add("heartbeat_ms", &o->heartbeat_ms,
            {.unit = "ms", .min = 1, .max = 20'000, .help = "interval of heartbeats"});
}

void add_clients(OptionTable& table, KnOptions* o) {
  table.group("Clients");
  table.add("ip", &o->ip,
            {.placeholder = "ADDRESS/BITS", .help = "IPv4 address that this KN answers on"});
  table.add("ip6", &o->ip6,
            {.placeholder = "ADDRESS/BITS", .help = "IPv6 address that this KN answers on"});
  table.add("udp_port", &o->udp_port,
            {.min = 1, .max = 65'000, .help = "UDP port of worker 0; worker w has this plus w"});
  table.add("port", &o->port,
            {.placeholder = "PORT", .help = "DPDK port, by name or number; default the only one"});
  table.add("mtu", &o->mtu,
            {.unit = "bytes", .min = 0, .max = 9600, .help = "0 leaves the port's"});
  table.add("rx_descriptors", &o->rx_descriptors,
            {.min = 64, .max = 32'768, .help = "receive ring of each queue"});
  table.add("tx_descriptors", &o->tx_descriptors,
            {.min = 64, .max = 32'768, .help = "transmit ring of each queue"});
  table.add("rx_checksum", &o->rx_checksum,
            {.values = {{"auto", ingress::RxChecksum::kAuto},
                        {"verify", ingress::RxChecksum::kVerify},
                        {"trust", ingress::RxChecksum::kTrust}},
             .help = "check incoming checksums in software; auto trusts ports fed by this kernel"});
}

void add_sessions(OptionTable& table, KnOptions* o) {
  table.group("Sessions");
  table.add("clients", &o->clients,
            {.placeholder = "NETWORKS",
             .help = "networks whose clients are served, as in 10.0.0.0/8,fd00::/8; empty: all"});
  table.add(
      "sessions_max", &o->sessions_max,
      {.min = 8, .max = 1 << 20, .help = "client sessions a worker remembers (power of two)"});
  table.add("session_window", &o->session_window,
            {.min = 8,
             .max = 4096,
             .help = "mutations that a session may have in flight (power of two)"});
  table.add("session_idle_s", &o->session_idle_s,
            {.unit = "s",
             .min = 1,
             .max = 86'400,
             .help = "a session unused for longer may be forgotten: clients are told so"});
  table.add(
      "cookie_period_s", &o->cookie_period_s,
      {.unit = "s",
       .min = 10,
       .max = 86'400,
       .help = "cookies of clients have a new key so often; those before it stay good as long"});
  table.add("strangers_per_s", &o->strangers_per_s,
            {.min = 1,
             .max = 100'000'000,
             .help = "datagrams a second that a worker answers one source without a valid cookie"});
}

void add_memcached(OptionTable& table, KnOptions* o) {
  table.group("Memcached protocol");
  table.add("memcached_port", &o->memcached_port,
            {.min = 0, .max = 65'535, .help = "UDP port of memcached's protocol; 0 serves none"});
  table.add("memcached_networks", &o->memcached_networks,
            {.placeholder = "NETWORK,...",
             .help = "who is served, as in 10.0.0.0/8,fd00::/8; required with memcached_port"});
  table.add("memcached_tcp", &o->memcached_tcp,
            {.placeholder = "ADDRESS:PORT",
             .help = "where to listen for it in the kernel's network, for tools that know no UDP"});
}

/// What is wrong with the options of memcached's protocol by themselves.
std::string check_memcached(const KnOptions& o) {
  std::string why;
  const auto networks = ingress::NetworkList::parse(o.memcached_networks, &why);
  if (!networks) return "memcached_networks: " + why;
  if (!o.memcached_tcp.empty() && !split_address(o.memcached_tcp)) {
    return "memcached_tcp '" + o.memcached_tcp + "' is no address: write it as 127.0.0.1:11211";
  }
  if (o.memcached_port != 0 && networks->empty()) {
    return "memcached_port needs memcached_networks: anybody can have large replies sent to "
           "somebody else over UDP, so name who is served, as in 10.0.0.0/8";
  }
  return "";
}

void add_engine(OptionTable& table, KnOptions* o) {
  table.group("Cache");
  table.add("cache_bytes", &o->cache_bytes,
            {.unit = "bytes", .min = 1 << 20, .help = "DAC memory, over all workers"});
  table.add(
      "cache_policy", &o->cache_policy,
      {.placeholder = "POLICY", .help = "dac, value-only, shortcut-only, static:FRACTION or none"});

  table.add("cache_tuner", &o->tuner.on,
            {.help = "move cache memory to the workers that gain most by it; dac only"});
  table.add("cache_tuner_period_ms", &o->tuner.period_ms,
            {.unit = "ms",
             .min = 10,
             .max = 3'600'000,
             .help = "a sixteenth of an equal share moves at most every such period"});
  table.add("cache_share_min_percent", &o->tuner.share_min_percent,
            {.unit = "%",
             .min = 10,
             .max = 100,
             .help = "of an equal share, which the tuner leaves to every worker"});

  table.group("Writes and lookups");
  table.add(
      "unmerged_segments_max", &o->unmerged_segments_max,
      {.min = 1, .max = 64, .help = "full segments a log may have unmerged before writes wait"});
  table.add("write_wait_us", &o->write_wait_us,
            {.unit = "us",
             .min = 0,
             .max = 10'000'000,
             .help = "a write waits so long for room in the log, then it is refused with BUSY"});
  table.add("queue_wait_us", &o->queue_wait_us,
            {.unit = "us",
             .min = 1,
             .max = 1'000'000,
             .help = "what would wait longer for its turn in a worker is refused with BUSY"});
  table.add("fetches_max", &o->fetches_max,
            {.min = 1, .max = 4096, .help = "remote lookups a worker has in flight"});
}

void add_operation(OptionTable& table, KnOptions* o) {
  table.group("Operation");
  table.add("idle", &o->idle,
            {.values = {{"adaptive", IdleMode::kAdaptive}, {"busy", IdleMode::kBusy}},
             .help = "busy spins and needs a CPU a lcore; adaptive pauses, yields, then blocks"});
  table.add("stats_file", &o->stats_file,
            {.placeholder = "FILE", .help = "rewritten every second with counters as JSON"});
  table.add("slow_us", &o->slow_us,
            {.unit = "us",
             .min = 0,
             .max = 60'000'000,
             .help = "operations that take longer are logged; 0: none"});
  table.add("warm_s", &o->warm_s,
            {.unit = "s",
             .min = 0,
             .max = 86'400,
             .help = "ready for clients, as telemetry tells it, when the cache is full or after "
                     "serving for so long"});
  add_log_options(table, &o->log);
}

void add_checks(OptionTable& table, KnOptions* o) {
  table.check([o] { return check_cache_policy(*o); });
  table.check([o] { return check_memcached(*o); });
  table.check([o] {
    return o->dpm.empty() ? "dpm is missing: name the socket of dinomo-dpm, as in --dpm "
                            "/run/dinomo/dpm.sock"
                          : "";
  });
  table.check([o] {
    return o->ip.empty() && o->ip6.empty()
               ? "no address: give --ip or --ip6, as in --ip 10.0.0.2/24"
               : "";
  });
  table.check([o] {
    return o->lease_ms < 3 * o->heartbeat_ms
               ? "lease_ms has to be at least three times heartbeat_ms, or a late heartbeat stops "
                 "the service"
               : "";
  });
  table.check([o] {
    for (const auto& [name, value] :
         {std::pair("sessions_max", o->sessions_max), {"session_window", o->session_window}}) {
      if (!is_power_of_two(value)) return std::string(name) + " has to be a power of two";
    }
    return std::string();
  });
  table.check([o] {
    std::string why;
    return ingress::NetworkList::parse(o->clients, &why) ? "" : "clients: " + why;
  });
}

}  // namespace

void add_kn_options(OptionTable& table, KnOptions* o) {
  add_memory_node(table, o);
  add_clients(table, o);
  add_sessions(table, o);
  add_memcached(table, o);
  add_engine(table, o);
  add_operation(table, o);
  add_checks(table, o);
}

}  // namespace dinomo::app
