// SPDX-License-Identifier: BSD-3-Clause
// What the ingress costs: an echo through it beside a bare rx/tx burst echo on the same port, over
// a memif pair inside this process.
//
//   one lcore    client and server take turns, so that nothing but work is measured: server
//   ns/packet two lcores   each on its own, 64 packets in flight: packets/s as well (--lcores
//   0@0,1@1)
//
// Rounds of all variants are interleaved and the median is shown.
#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ingress/driver.h"
#include "test/support/frames.h"
#include "test/support/memif_pair.h"

namespace {

using namespace dinomo;

constexpr uint16_t kBurst = 32;
constexpr uint32_t kWindow = 64;
constexpr uint32_t kIdleTurnsMax = 50'000'000;  // gives up rather than hang

struct Options {
  uint64_t packets = 2'000'000;
  int rounds = 5;
  std::string lcores = "0@0";
  std::string json;
  bool smoke = false;
};

struct Bench {
  ~Bench() { pair.stop_far_end(); }

  test::MemifPair pair;
  std::unique_ptr<ingress::Ingress> ingress;
  test::Frame request;
  std::array<ingress::Datagram, kBurst> datagrams;
  std::atomic<bool> stop{false};
  // The server's.
  uint64_t busy_cycles = 0;
  uint64_t busy_packets = 0;
};

struct Variant {
  const char* name;
  uint32_t (*turn)(Bench*);
};

struct Measured {
  double server_ns = 0;
  double packets_per_second = 0;
  uint64_t lost = 0;
};

/// The least an echo can do: the frame itself goes back, its addresses swapped.
uint32_t bare_turn(Bench* b) {
  std::array<rte_mbuf*, kBurst> frames;
  const uint16_t n = rte_eth_rx_burst(b->pair.near_port(), 0, frames.data(), kBurst);
  for (uint16_t i = 0; i < n; ++i) {
    auto* const f = rte_pktmbuf_mtod(frames[i], std::byte*);
    std::swap_ranges(f, f + 6, f + 6);
    std::swap_ranges(f + 26, f + 30, f + 30);
    std::swap_ranges(f + 34, f + 36, f + 36);
  }
  uint16_t sent = 0;
  for (int tries = 0; sent < n && tries < 4; ++tries) {
    sent += rte_eth_tx_burst(b->pair.near_port(), 0, frames.data() + sent, n - sent);
  }
  rte_pktmbuf_free_bulk(frames.data() + sent, n - sent);
  return n;
}

uint32_t ingress_turn(Bench* b) {
  ingress::Queue& queue = b->ingress->queue(0);
  auto& in = b->datagrams;
  const uint32_t n = queue.receive(in);
  for (uint32_t i = 0; i < n; ++i) {
    const ingress::TransmitBuffer out = queue.allocate(in[i].peer);
    if (!out) continue;
    std::memcpy(out.payload.data(), in[i].payload.data(), in[i].payload.size());
    queue.send(out, in[i].payload.size());
  }
  queue.release(std::span(in).first(n));
  queue.flush();
  return n;
}

constexpr std::array<Variant, 2> kVariants{{{"bare", bare_turn}, {"ingress", ingress_turn}}};

void timed_turn(Bench* b, const Variant& v) {
  const uint64_t before = rte_rdtsc();
  const uint32_t n = v.turn(b);
  const uint64_t spent = rte_rdtsc() - before;
  if (n == 0 || spent > rte_get_tsc_hz() / 20'000) return;  // 50 us: somebody else had the CPU
  b->busy_cycles += spent;
  b->busy_packets += n;
}

uint32_t client_send(Bench* b, uint32_t count) {
  std::array<rte_mbuf*, kBurst> frames;
  if (rte_pktmbuf_alloc_bulk(b->pair.far_pool(), frames.data(), count) != 0) return 0;
  for (uint32_t i = 0; i < count; ++i) {
    const auto bytes = static_cast<uint16_t>(b->request.size());
    std::memcpy(rte_pktmbuf_append(frames[i], bytes), b->request.data(), bytes);
  }
  const uint16_t sent =
      rte_eth_tx_burst(b->pair.far_port(), 0, frames.data(), static_cast<uint16_t>(count));
  rte_pktmbuf_free_bulk(frames.data() + sent, count - sent);
  return sent;
}

uint32_t client_receive(Bench* b) {
  std::array<rte_mbuf*, kBurst> frames;
  const uint16_t n = rte_eth_rx_burst(b->pair.far_port(), 0, frames.data(), kBurst);
  rte_pktmbuf_free_bulk(frames.data(), n);
  return n;
}

struct ServerArgument {
  Bench* bench;
  const Variant* variant;
};

int run_server(void* argument) {
  const auto& a = *static_cast<ServerArgument*>(argument);
  while (!a.bench->stop.load(std::memory_order_relaxed)) timed_turn(a.bench, *a.variant);
  return 0;
}

Measured measure(Bench* b, const Variant& v, uint64_t packets) {
  b->busy_cycles = 0;
  b->busy_packets = 0;
  b->stop = false;
  ServerArgument argument{b, &v};
  const unsigned other = rte_get_next_lcore(rte_lcore_id(), 1, 0);
  const bool two = other < RTE_MAX_LCORE;
  if (two) rte_eal_remote_launch(run_server, &argument, other);
  uint64_t sent = 0;
  uint64_t received = 0;
  const uint64_t start = rte_rdtsc();
  for (uint32_t idle = 0; received < packets && idle < kIdleTurnsMax;) {
    const uint64_t room = std::min<uint64_t>(kWindow - (sent - received), packets - sent);
    if (room != 0) sent += client_send(b, static_cast<uint32_t>(std::min<uint64_t>(room, kBurst)));
    if (!two) timed_turn(b, v);
    const uint32_t n = client_receive(b);
    received += n;
    idle = n == 0 ? idle + 1 : 0;
  }
  const uint64_t spent = rte_rdtsc() - start;
  b->stop = true;
  if (two) rte_eal_wait_lcore(other);
  const auto hz = static_cast<double>(rte_get_tsc_hz());
  Measured m;
  m.server_ns = b->busy_packets == 0 ? 0
                                     : static_cast<double>(b->busy_cycles) * 1e9 / hz /
                                           static_cast<double>(b->busy_packets);
  m.packets_per_second = static_cast<double>(received) * hz / static_cast<double>(spent);
  m.lost = packets - received;
  return m;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

bool prepare(Bench* b, size_t payload_bytes, ingress::RxChecksum rx, bool udp_checksum,
             std::string* why) {
  if (!b->pair.make(1, why)) return false;
  ingress::Config config;
  config.port = b->pair.near_name();
  config.base_port = 9000;
  config.addresses = {*ingress::parse_address("10.0.0.2/24")};
  config.rx_checksum = rx;
  config.ipv4_udp_checksum = udp_checksum;
  auto opened = ingress::find_driver("ethdev")->open(config, why);
  if (!opened) return false;
  b->ingress = std::move(*opened);
  if (!ok(b->ingress->start(why)) || !b->pair.start_far_end(why)) return false;
  const test::Station us{b->ingress->endpoint().mac, test::ip("10.0.0.2"), 9000};
  const test::Station them{b->pair.far_mac(), test::ip("10.0.0.9"), 40000};
  b->request = test::udp_frame(them, us, test::bytes(payload_bytes, 1));
  return true;
}

bool run(const Options& o) {
  nlohmann::json results = nlohmann::json::array();
  std::printf("%-8s %-10s %10s %12s %14s %8s\n", "payload", "checksums", "echo", "server ns",
              "packets/s", "lost");
  uint64_t lost = 0;
  for (const size_t payload : {64ul, 1024ul}) {
    for (const bool checksums : {true, false}) {
      Bench b;
      std::string why;
      if (!prepare(&b, payload,
                   checksums ? ingress::RxChecksum::kVerify : ingress::RxChecksum::kTrust,
                   checksums, &why)) {
        std::fprintf(stderr, "ingress_bench: %s\n", why.c_str());
        return false;
      }
      std::array<std::vector<double>, kVariants.size()> ns;
      std::array<std::vector<double>, kVariants.size()> rate;
      std::array<uint64_t, kVariants.size()> missing{};
      for (int round = 0; round < o.rounds; ++round) {
        for (size_t v = 0; v < kVariants.size(); ++v) {
          const Measured m = measure(&b, kVariants[v], o.packets);
          ns[v].push_back(m.server_ns);
          rate[v].push_back(m.packets_per_second);
          missing[v] += m.lost;
        }
      }
      for (size_t v = 0; v < kVariants.size(); ++v) {
        const char* const sums = checksums ? "software" : "off";
        std::printf("%-8zu %-10s %10s %12.1f %14.0f %8lu\n", payload, sums, kVariants[v].name,
                    median(ns[v]), median(rate[v]), missing[v]);
        results.push_back({{"payload_bytes", payload},
                           {"checksums", sums},
                           {"echo", kVariants[v].name},
                           {"server_ns_per_packet", median(ns[v])},
                           {"packets_per_second", median(rate[v])},
                           {"lost", missing[v]}});
        lost += missing[v];
      }
    }
  }
  if (!o.json.empty()) {
    std::FILE* const f = std::fopen(o.json.c_str(), "w");
    if (f == nullptr) {
      std::fprintf(stderr, "ingress_bench: cannot write %s\n", o.json.c_str());
      return false;
    }
    std::fputs((results.dump(2) + "\n").c_str(), f);
    std::fclose(f);
  }
  return lost == 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App cli{"Cost of an echo through the ingress, beside a bare one, over memif"};
  cli.add_option("--packets", options.packets, "a round");
  cli.add_option("--rounds", options.rounds, "of each variant")->check(CLI::Range(1, 1000));
  cli.add_option("--lcores", options.lcores, "as EAL's; the client is on the first");
  cli.add_option("--json", options.json, "file to write the results to");
  cli.add_flag("--smoke", options.smoke, "smallest size, to see that it works");
  CLI11_PARSE(cli, argc, argv);
  if (options.smoke) {
    options.packets = 5000;
    options.rounds = 1;
  }
  if (!test::start_eal(options.lcores)) return 1;
  const bool good = run(options);
  rte_eal_cleanup();
  return good ? 0 : 1;
}
