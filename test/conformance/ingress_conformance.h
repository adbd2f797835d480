// SPDX-License-Identifier: BSD-3-Clause
// What every ingress driver must do, whatever carries its datagrams. A driver's test instantiates
// the suite with factories:
//
//   INSTANTIATE_TEST_SUITE_P(Memif, IngressConformance, testing::Values(factory...), factory_name);
//
// and links ingress_conformance.cc. A harness holds one started ingress and the far end of its
// link. Drivers that carry bare datagrams answer has_frames() with false and skip the tests of ARP,
// ping and malformed frames.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

#include "ingress/driver.h"
#include "test/support/frames.h"

namespace dinomo::test {

class IngressHarness {
 public:
  virtual ~IngressHarness() = default;

  virtual ingress::Ingress& ingress() noexcept = 0;
  /// The far end's MAC; zero without frames.
  virtual ingress::MacAddress far_mac() const noexcept = 0;
  virtual bool has_frames() const noexcept = 0;

  /// Puts a frame on the link, towards receive queue `path` if the link has several. False if the
  /// link takes no more.
  virtual bool inject(Bytes frame, uint16_t path = 0) = 0;
  /// The next frame that the ingress sent; empty if there is none, after a bounded wait.
  virtual Frame capture() = 0;

  /// As inject and capture, for datagrams. Here by way of frames; without frames, override both.
  virtual bool send(const Station& from, const Station& to, Bytes payload, uint16_t path = 0) {
    return inject(udp_frame(from, to, payload), path);
  }
  virtual std::optional<ReadDatagram> receive() { return read_udp(capture()); }
  /// The same for datagrams larger than a frame.
  virtual bool send_large(const Station& from, const Station& to, Bytes payload, uint32_t id) {
    for (const Frame& f : udp_fragments(from, to, payload, id)) {
      if (!inject(f)) return false;
    }
    return true;
  }
  virtual std::optional<ReadDatagram> receive_large() {
    std::vector<Frame> frames;
    for (Frame f = capture(); !f.empty(); f = capture()) frames.push_back(std::move(f));
    return read_fragments(frames);
  }
};

struct IngressFactory {
  std::string name;
  uint16_t workers = 1;
  uint16_t queues = 1;
  bool loses_when_not_polled = false;  // frames beyond the receive queue are lost
  std::function<std::unique_ptr<IngressHarness>(const ingress::Config&, std::string* why)> make;
};

inline void PrintTo(const IngressFactory& f, std::ostream* out) { *out << f.name; }

inline std::string factory_name(const testing::TestParamInfo<IngressFactory>& info) {
  return info.param.name;
}

class IngressConformance : public testing::TestWithParam<IngressFactory> {
 protected:
  static constexpr uint16_t kBasePort = 9000;
  static constexpr uint16_t kSharedPort = 8999;
  static constexpr uint16_t kRemotePort = 40000;

  void SetUp() override;

  ingress::Queue& queue(uint16_t worker) { return harness_->ingress().queue(worker); }
  Station us(uint16_t worker, bool v6 = false) const;
  Station them(bool v6 = false) const;
  /// Turns of `worker` until it received `count` datagrams or nothing comes any more.
  std::vector<ingress::Datagram> receive(uint16_t worker, size_t count);
  /// Lets every worker that is not the receiver take its turn, and drops what they get.
  void turn_of_others(uint16_t worker);
  void flush_all();
  bool send_reply(uint16_t worker, const ingress::Peer& peer, Bytes payload);
  ingress::QueueCounters total() const;

  uint16_t workers_ = 1;
  std::unique_ptr<IngressHarness> harness_;
};

}  // namespace dinomo::test
