// SPDX-License-Identifier: BSD-3-Clause
// What sending a large value without copying it would gain: a datagram of 32 KiB built in four
// ways.
//
//   copied     each byte into its frame
//   ahead      the same, what the next frame copies is prefetched before: what the product does
//   chained    a header buffer and an external buffer over the value (rte_pktmbuf_attach_extbuf)
//   product    Queue::send_pieces; 0 where it cannot be sent to
//
//   to memif   the poll mode driver copies every frame into its peer's memory
//   to a NIC   as a CPU sees it, but for the descriptors: buffers come back
//   sums       software: the UDP checksum of a datagram in fragments has to be computed here.
//              none: as for a datagram that fits a frame of a port that computes it
//   value      hot: the same one again and again; cold: 2048 of them in turns, 64 MiB
//
// The median over all datagrams, in ns of CPU. The ways are checked byte for byte over memif first.
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ingress/driver.h"
#include "ingress/fragment.h"
#include "test/support/frames.h"
#include "test/support/memif_pair.h"

namespace {

using namespace dinomo;

constexpr size_t kValueBytes = 32 * 1024;
constexpr size_t kColdValues = 2048;
constexpr uint16_t kFramesMax = 64;
constexpr uint32_t kBuffers = 4095;
constexpr uint32_t kCache = 256;  // of an lcore, as the product has it: frames are hot again

enum class Way : uint8_t { kCopied, kAhead, kChained, kProduct };
enum class Wire : uint8_t { kMemif, kNic };

struct Case {
  Way way;
  Wire wire;
  uint16_t mtu;
  bool sums;
  bool cold;
};

struct Options {
  uint32_t datagrams = 20'000;
  std::string json;
  bool smoke = false;
};

class Bench {
 public:
  ~Bench() {
    pair_.stop_far_end();
    rte_mempool_free(frames_);
    rte_mempool_free(bare_);
  }

  bool make(std::string* why);
  /// Sends one over memif and looks at what arrives.
  bool check(Way way);
  double measure(const Case& c, uint32_t datagrams);
  bool buffers_are_back() const {
    return rte_mempool_avail_count(frames_) == kBuffers &&
           rte_mempool_avail_count(bare_) == kBuffers;
  }

 private:
  uint16_t build(const Case& c, Bytes value, rte_mbuf** out);
  rte_mbuf* frame(Way way, Bytes data, size_t headers);
  uint64_t send_by_product(Bytes value);
  uint32_t drain(std::vector<test::Frame>* into);

  test::MemifPair pair_;
  std::unique_ptr<ingress::Ingress> ingress_;
  rte_mempool* frames_ = nullptr;
  rte_mempool* bare_ = nullptr;  // buffers without memory of their own
  rte_mbuf_ext_shared_info owner_{};
  ingress::Peer peer_;
  std::vector<std::byte> values_;
  uint32_t id_ = 0;
};

bool Bench::make(std::string* why) {
  if (!pair_.make(1, why)) return false;
  ingress::Config config;
  config.port = pair_.near_name();
  config.base_port = 9000;
  config.addresses = {*ingress::parse_address("10.0.0.2/24")};
  auto opened = ingress::find_driver("ethdev")->open(config, why);
  if (!opened) return false;
  ingress_ = std::move(*opened);
  if (!ok(ingress_->start(why)) || !pair_.start_far_end(why)) return false;
  frames_ = rte_pktmbuf_pool_create("frames", kBuffers, kCache, 0, 9216 + RTE_PKTMBUF_HEADROOM, 0);
  bare_ = rte_pktmbuf_pool_create("bare", kBuffers, kCache, 0, 0, 0);
  if (frames_ == nullptr || bare_ == nullptr) {
    *why = "no memory for packet buffers";
    return false;
  }
  owner_.free_cb = [](void*, void*) {};
  peer_.remote_address = test::ip("10.0.0.9");
  peer_.local_address = test::ip("10.0.0.2");
  peer_.remote_mac = pair_.far_mac();
  peer_.remote_port = 40000;
  peer_.local_port = 9000;
  values_.resize(kColdValues * kValueBytes);
  for (size_t i = 0; i < values_.size(); ++i) values_[i] = static_cast<std::byte>(i * 131 >> 7);
  return true;
}

/// A frame with room for its headers in front of `data`; nullptr if buffers have run out.
rte_mbuf* Bench::frame(Way way, Bytes data, size_t headers) {
  rte_mbuf* const head = rte_pktmbuf_alloc(frames_);
  if (head == nullptr) return nullptr;
  head->data_len = static_cast<uint16_t>(headers);
  head->pkt_len = static_cast<uint32_t>(headers + data.size());
  if (way != Way::kChained) {
    std::memcpy(rte_pktmbuf_mtod_offset(head, std::byte*, headers), data.data(), data.size());
    head->data_len = static_cast<uint16_t>(head->pkt_len);
    return head;
  }
  rte_mbuf* const body = rte_pktmbuf_alloc(bare_);
  if (body == nullptr) {
    rte_pktmbuf_free(head);
    return nullptr;
  }
  auto* const at = const_cast<std::byte*>(data.data());
  const auto bytes = static_cast<uint16_t>(data.size());
  rte_pktmbuf_attach_extbuf(body, at, reinterpret_cast<rte_iova_t>(at), bytes, &owner_);
  body->data_len = bytes;
  head->next = body;
  head->nb_segs = 2;
  return head;
}

/// The fragments of one datagram; returns how many.
uint16_t Bench::build(const Case& c, Bytes value, rte_mbuf** out) {
  const size_t room = ingress::fragment_data_bytes(peer_, c.mtu);
  const size_t headers = ingress::fragment_header_bytes(peer_);
  const size_t segment = sizeof(ingress::UdpHeader) + value.size();
  const auto count = static_cast<uint16_t>((segment + room - 1) / room);
  if (c.way == Way::kChained) rte_mbuf_ext_refcnt_set(&owner_, count);
  uint64_t sum = 0;
  size_t used = 0;
  for (uint16_t i = 0; i < count; ++i) {
    const size_t offset = i * room;
    const size_t size = std::min(room, segment - offset);
    const size_t udp = i == 0 ? sizeof(ingress::UdpHeader) : 0;
    const Bytes data = value.subspan(used, size - udp);
    used += data.size();
    if (c.way == Way::kAhead) {
      const Bytes next = value.subspan(used, std::min(room, value.size() - used));
      for (size_t at = 0; at < next.size(); at += 64) rte_prefetch0(next.data() + at);
    }
    out[i] = frame(c.way, data, headers + udp);
    if (out[i] == nullptr) return i;
    auto* const at = rte_pktmbuf_mtod(out[i], std::byte*);
    if (udp != 0) store(at + headers, ingress::large_udp_header(peer_, value.size()));
    // Copied bytes are summed where they are hot. All starts are even, so sums may be added.
    const bool copied = c.way != Way::kChained;
    if (c.sums) sum += ingress::sum_words(copied ? Bytes(at + headers + udp, data.size()) : data);
    if (c.sums && udp != 0) sum += ingress::sum_words({at + headers, udp});
    ingress::write_fragment_headers(at, peer_, ingress_->endpoint().mac, id_, offset, size,
                                    i + 1 < count);
  }
  if (c.sums) {
    auto* const at = rte_pktmbuf_mtod(out[0], std::byte*);
    store(at + headers + offsetof(ingress::UdpHeader, checksum),
          ingress::large_udp_checksum(peer_, value.size(), sum));
  }
  ++id_;
  return count;
}

uint32_t Bench::drain(std::vector<test::Frame>* into) {
  std::array<rte_mbuf*, kFramesMax> frames;
  const uint16_t n = rte_eth_rx_burst(pair_.far_port(), 0, frames.data(), kFramesMax);
  for (uint16_t i = 0; into != nullptr && i < n; ++i) {
    test::Frame frame(frames[i]->pkt_len);
    const void* const data = rte_pktmbuf_read(frames[i], 0, frames[i]->pkt_len, frame.data());
    if (data != frame.data()) std::memcpy(frame.data(), data, frame.size());
    into->push_back(std::move(frame));
  }
  rte_pktmbuf_free_bulk(frames.data(), n);
  return n;
}

bool Bench::check(Way way) {
  const Case c{way, Wire::kMemif, 1500, true, false};
  std::array<rte_mbuf*, kFramesMax> frames;
  const Bytes value = Bytes(values_).first(kValueBytes);
  const uint16_t count = build(c, value, frames.data());
  if (rte_eth_tx_burst(pair_.near_port(), 0, frames.data(), count) != count) return false;
  std::vector<test::Frame> got;
  for (int i = 0; i < 1000 && got.size() < count; ++i) drain(&got);
  const auto datagram = test::read_fragments(got);
  return datagram && equal(datagram->payload, value) &&
         (way != Way::kChained || rte_mbuf_ext_refcnt_read(&owner_) == 0) && buffers_are_back();
}

/// In cycles.
uint64_t Bench::send_by_product(Bytes value) {
  ingress::Queue& queue = ingress_->queue(0);
  const uint64_t began = rte_rdtsc();
  queue.send_pieces(peer_, std::span(&value, 1));
  queue.flush();
  const uint64_t took = rte_rdtsc() - began;
  while (drain(nullptr) != 0) {
  }
  return took;
}

double Bench::measure(const Case& c, uint32_t datagrams) {
  std::vector<uint64_t> cycles;
  cycles.reserve(datagrams);
  std::array<rte_mbuf*, kFramesMax> frames;
  for (uint32_t i = 0; i < datagrams; ++i) {
    const size_t which = c.cold ? i % kColdValues : 0;
    const Bytes value = Bytes(values_).subspan(which * kValueBytes, kValueBytes);
    if (c.way == Way::kProduct) {
      cycles.push_back(send_by_product(value));
      continue;
    }
    const uint64_t began = rte_rdtsc();
    const uint16_t count = build(c, value, frames.data());
    uint16_t sent = 0;
    if (c.wire == Wire::kMemif) {
      sent = rte_eth_tx_burst(pair_.near_port(), 0, frames.data(), count);
    }
    rte_pktmbuf_free_bulk(frames.data() + sent, count - sent);
    cycles.push_back(rte_rdtsc() - began);
    while (sent != 0 && drain(nullptr) != 0) {
    }
  }
  std::ranges::nth_element(cycles, cycles.begin() + datagrams / 2);
  return static_cast<double>(cycles[datagrams / 2]) * 1e9 / static_cast<double>(rte_get_tsc_hz());
}

bool run(const Options& o) {
  Bench bench;
  std::string why;
  if (!bench.make(&why)) {
    std::fprintf(stderr, "scatter_bench: %s\n", why.c_str());
    return false;
  }
  for (const Way way : {Way::kCopied, Way::kAhead, Way::kChained}) {
    if (bench.check(way)) continue;
    std::fprintf(stderr, "scatter_bench: what arrived is not what was sent\n");
    return false;
  }
  struct Row {
    Wire wire;
    uint16_t mtu;
    bool sums;
  };
  constexpr std::array<Row, 5> kRows{{{Wire::kMemif, 1500, true},
                                      {Wire::kNic, 1500, true},
                                      {Wire::kNic, 1500, false},
                                      {Wire::kNic, 9000, true},
                                      {Wire::kNic, 9000, false}}};
  nlohmann::json results = nlohmann::json::array();
  std::printf("%-6s %-5s %-9s %-5s %12s %12s %12s %12s\n", "to", "mtu", "sums", "value",
              "copied ns", "ahead ns", "chained ns", "product ns");
  for (const Row& r : kRows) {
    for (const bool cold : {false, true}) {
      Case c{Way::kCopied, r.wire, r.mtu, r.sums, cold};
      const double copied = bench.measure(c, o.datagrams);
      c.way = Way::kAhead;
      const double ahead = bench.measure(c, o.datagrams);
      c.way = Way::kProduct;
      const double product = r.wire == Wire::kMemif ? bench.measure(c, o.datagrams) : 0;
      c.way = Way::kChained;
      const double chained = bench.measure(c, o.datagrams);
      const char* const to = r.wire == Wire::kMemif ? "memif" : "NIC";
      const char* const sums = r.sums ? "software" : "none";
      std::printf("%-6s %-5u %-9s %-5s %12.0f %12.0f %12.0f %12.0f\n", to, r.mtu, sums,
                  cold ? "cold" : "hot", copied, ahead, chained, product);
      results.push_back({{"to", to},
                         {"mtu", r.mtu},
                         {"sums", sums},
                         {"cold", cold},
                         {"copied_ns", copied},
                         {"ahead_ns", ahead},
                         {"chained_ns", chained},
                         {"product_ns", product}});
    }
  }
  if (!o.json.empty()) {
    std::FILE* const f = std::fopen(o.json.c_str(), "w");
    if (f == nullptr) {
      std::fprintf(stderr, "scatter_bench: cannot write %s\n", o.json.c_str());
      return false;
    }
    std::fputs((results.dump(2) + "\n").c_str(), f);
    std::fclose(f);
  }
  if (bench.buffers_are_back()) return true;
  std::fprintf(stderr, "scatter_bench: buffers are missing\n");
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App cli{"Cost of a reply of 32 KiB, its value copied or not"};
  cli.add_option("--datagrams", options.datagrams, "of each point")
      ->check(CLI::Range(1, 100'000'000));
  cli.add_option("--json", options.json, "file to write the results to");
  cli.add_flag("--smoke", options.smoke, "smallest size, to see that it works");
  CLI11_PARSE(cli, argc, argv);
  if (options.smoke) options.datagrams = 50;
  if (!test::start_eal()) return 1;
  const bool good = run(options);
  rte_eal_cleanup();
  return good ? 0 : 1;
}
