// SPDX-License-Identifier: BSD-3-Clause
// A UDP echo over an ingress driver: EAL arguments before --, own ones after. For tests and
// measurements of the ingress alone.
//
//   ingress_echo --in-memory --no-huge -m 128 --vdev net_af_packet0,iface=eth1 --
//       --ip 10.0.0.2/24 --base-port 9000
//
// One worker per lcore, worker 0 on the main one. Ends on SIGTERM, SIGINT or after --seconds.
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "app/common/idle.h"
#include "drivers/ingress/ethdev/hints.h"
#include "ingress/driver.h"

namespace {

using namespace dinomo;

std::atomic<bool> stopping{false};

struct Options {
  std::vector<std::string> addresses;
  std::string driver = "ethdev";
  std::string idle = "adaptive";
  ingress::Config ingress;
  double seconds = 0;
  uint32_t hold = 0;
};

struct WorkerReport {
  uint64_t busy_cycles = 0;  // in turns that found something
  uint64_t busy_turns = 0;
  app::IdleCounters idle;
};

struct Worker {
  ingress::Ingress* ingress = nullptr;
  app::IdleConfig idle;
  uint16_t number = 0;
  uint64_t end_cycles = 0;
  WorkerReport report;
};

uint32_t echo_turn(ingress::Queue& queue) {
  std::array<ingress::Datagram, 32> in;
  const uint32_t n = queue.receive(in);
  for (uint32_t i = 0; i < n; ++i) {
    const Bytes payload = in[i].payload;
    const ingress::TransmitBuffer out = queue.allocate(in[i].peer);
    if (!out) continue;
    if (payload.size() > out.payload.size()) {
      queue.drop(out);
      queue.send_pieces(in[i].peer, std::span(&payload, 1));
      continue;
    }
    std::memcpy(out.payload.data(), payload.data(), payload.size());
    queue.send(out, payload.size());
  }
  queue.release(std::span(in).first(n));
  queue.flush();
  return n;
}

int run_worker(void* argument) {
  auto& w = *static_cast<Worker*>(argument);
  ingress::Queue& queue = w.ingress->queue(w.number);
  app::SystemIdleHooks hooks;
  hooks.add(&w.ingress->wait_source(w.number));
  app::IdlePolicy idle(w.idle, &hooks);
  while (!stopping.load(std::memory_order_relaxed)) {
    const uint64_t before = rte_rdtsc();
    const uint32_t n = echo_turn(queue);
    if (n != 0) {
      const uint64_t spent = rte_rdtsc() - before;
      if (spent < rte_get_tsc_hz() / 5000) {  // longer than 200 us: somebody else had the CPU
        w.report.busy_cycles += spent;
        w.report.busy_turns += n;
      }
    }
    if (w.end_cycles != 0 && before > w.end_cycles) break;
    idle.turn(n != 0);
  }
  w.report.idle = idle.counters();
  return 0;
}

void print_report(const Worker& w) {
  const ingress::QueueCounters& c = w.ingress->queue(w.number).counters();
  const double ns = 1e9 / static_cast<double>(rte_get_tsc_hz());
  const double turns = static_cast<double>(w.report.busy_turns);
  std::printf(
      "worker %u in %lu out %lu handed_in %lu handed_out %lu arp %lu ping %lu neighbour %lu "
      "malformed %lu not_ours %lu checksum %lu fragment %lu full %lu no_buffer %lu "
      "ns_per_datagram %.1f blocks %lu wake_ups %lu yield_bans %lu\n",
      w.number, c.datagrams_in, c.datagrams_out, c.handed_over_in, c.handed_over_out,
      c.answered_arp, c.answered_ping, c.answered_neighbour, c.dropped_malformed,
      c.dropped_not_ours, c.dropped_checksum, c.dropped_fragment, c.dropped_full, c.no_buffer,
      turns > 0 ? static_cast<double>(w.report.busy_cycles) * ns / turns : 0.0,
      w.report.idle.blocks, w.report.idle.wake_ups, w.report.idle.yield_bans);
}

int parse(int argc, char** argv, Options* o) {
  CLI::App cli{"UDP echo over an ingress driver"};
  o->ingress.base_port = 9000;
  cli.add_option("--ip,--ip6", o->addresses, "local address, with an optional prefix")->required();
  cli.add_option("--base-port", o->ingress.base_port, "UDP port of worker 0");
  cli.add_option("--driver", o->driver, "ingress driver");
  cli.add_option("--eth", o->ingress.port, "port name or number");
  cli.add_option("--queues", o->ingress.queues, "receive queues at most");
  cli.add_option("--mtu", o->ingress.mtu, "bytes");
  cli.add_option("--rx-descriptors", o->ingress.rx_descriptors, "");
  cli.add_option("--idle", o->idle, "busy or adaptive")->check(CLI::IsMember({"busy", "adaptive"}));
  cli.add_option("--hold", o->hold, "buffers that worker 0 holds, so that the others are used");
  cli.add_option("--seconds", o->seconds, "run that long; 0: until a signal");
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return cli.exit(e) == 0 ? 0 : 2;
  }
  for (const std::string& text : o->addresses) {
    const auto address = ingress::parse_address(text);
    if (!address) {
      std::fprintf(stderr, "'%s' is not an IPv4 or IPv6 address\n", text.c_str());
      return 2;
    }
    o->ingress.addresses.push_back(*address);
  }
  return -1;
}

std::unique_ptr<ingress::Ingress> open_port(const Options& o) {
  const ingress::Driver* driver = ingress::find_driver(o.driver);
  std::string why = "there is no ingress driver '" + o.driver + "'";
  if (driver == nullptr) {
    std::fprintf(stderr, "ingress_echo: %s\n", why.c_str());
    return nullptr;
  }
  auto opened = driver->open(o.ingress, &why);
  if (!opened || !ok((*opened)->start(&why))) {
    std::fprintf(stderr, "ingress_echo: %s\n", why.c_str());
    return nullptr;
  }
  return std::move(*opened);
}

std::vector<ingress::TransmitBuffer> take(ingress::Queue& queue, uint32_t count) {
  std::vector<ingress::TransmitBuffer> taken;
  while (taken.size() < count) {
    const ingress::TransmitBuffer buffer = queue.allocate({});
    if (!buffer) break;
    taken.push_back(buffer);
  }
  return taken;
}

int run(Options& o) {
  o.ingress.workers = static_cast<uint16_t>(rte_lcore_count());
  const auto ingress = open_port(o);
  if (ingress == nullptr) return 1;
  const ingress::Capabilities& c = ingress->capabilities();
  std::printf(
      "ready port %s (%s) mac %s mtu %u queues %u/%u steering %s wait %s buffers %u link %s\n",
      c.port.c_str(), c.device.c_str(), ingress::format_mac(c.mac).c_str(), c.mtu, c.rx_queues,
      c.tx_queues, ingress::steering_name(c.steering), ingress::wait_method_name(c.wait), c.buffers,
      c.link_up ? "up" : "down");
  std::fflush(stdout);

  std::vector<Worker> workers(o.ingress.workers);
  uint16_t number = 1;
  for (Worker& w : workers) {
    w.ingress = ingress.get();
    w.idle.mode = o.idle == "busy" ? app::IdleMode::kBusy : app::IdleMode::kAdaptive;
    if (o.seconds > 0) {
      w.end_cycles =
          rte_rdtsc() + static_cast<uint64_t>(o.seconds * static_cast<double>(rte_get_tsc_hz()));
    }
  }
  unsigned lcore = 0;
  RTE_LCORE_FOREACH_WORKER(lcore) {
    workers[number].number = number;
    rte_eal_remote_launch(run_worker, &workers[number], lcore);
    ++number;
  }
  const std::vector<ingress::TransmitBuffer> held = take(ingress->queue(0), o.hold);
  run_worker(&workers[0]);
  stopping = true;
  rte_eal_mp_wait_lcore();
  for (const Worker& w : workers) print_report(w);
  for (const ingress::TransmitBuffer& b : held) ingress->queue(0).drop(b);
  const ingress::PortCounters p = ingress->port_counters();
  std::printf("port missed %lu errors_in %lu errors_out %lu port_no_buffer %lu\n", p.missed,
              p.errors_in, p.errors_out, p.no_buffer);
  ingress->stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, [](int) { stopping = true; });
  std::signal(SIGTERM, [](int) { stopping = true; });
  const int used = rte_eal_init(argc, argv);
  if (used < 0) {
    std::fprintf(stderr, "ingress_echo: EAL does not start: %s\n", rte_strerror(rte_errno));
    for (int i = 1; i + 1 < argc; ++i) {
      if (std::string(argv[i]) != "--vdev") continue;
      const std::string hint = ingress::ethdev::missing_driver(argv[i + 1]);
      if (!hint.empty()) std::fprintf(stderr, "ingress_echo: %s\n", hint.c_str());
    }
    return 1;
  }
  Options options;
  int status = parse(argc - used, argv + used, &options);
  if (status < 0) status = run(options);
  rte_eal_cleanup();
  return status;
}
