// SPDX-License-Identifier: BSD-3-Clause
// The ingress conformance suite over the simulated network. Bare datagrams: no frames, no ARP.
#include <deque>

#include "drivers/ingress/sim/sim_ingress.h"
#include "test/conformance/ingress_conformance.h"

namespace dinomo::test {

namespace {

class SimHarness final : public IngressHarness, private sim::Network::Port {
 public:
  SimHarness(const ingress::Config& config, std::string* why) {
    network_.set_faults({.delay_ns = 100, .jitter_ns = 0});
    ingress::sim::SimIngress::use(&network_);
    auto opened = ingress::find_driver("sim")->open(config, why);
    if (!opened) return;
    ingress_ = std::move(*opened);
    if (!ok(ingress_->start(why))) ingress_.reset();
  }
  ~SimHarness() override {
    ingress_.reset();
    ingress::sim::SimIngress::use(nullptr);
  }
  bool good() const noexcept { return ingress_ != nullptr; }

  ingress::Ingress& ingress() noexcept override { return *ingress_; }
  ingress::MacAddress far_mac() const noexcept override { return {}; }
  bool has_frames() const noexcept override { return false; }
  bool inject(Bytes, uint16_t) override { return false; }
  Frame capture() override { return {}; }

  bool send(const Station& from, const Station& to, Bytes payload, uint16_t) override {
    network_.attach({from.ip, from.port}, this);
    network_.send({from.ip, from.port}, {to.ip, to.port}, payload);
    loop_.run_until(loop_.now_ns() + 1'000);
    return true;
  }
  std::optional<ReadDatagram> receive() override {
    loop_.run_until(loop_.now_ns() + 1'000);
    if (got_.empty()) return std::nullopt;
    ReadDatagram d = std::move(got_.front());
    got_.pop_front();
    return d;
  }
  bool send_large(const Station& from, const Station& to, Bytes payload, uint32_t) override {
    return send(from, to, payload, 0);
  }
  std::optional<ReadDatagram> receive_large() override { return receive(); }

 private:
  void deliver(const sim::NetworkAddress& from, const sim::NetworkAddress& to, Bytes payload,
               bool) override {
    ReadDatagram d;
    d.from.ip = from.ip;
    d.from.port = from.port;
    d.to.ip = to.ip;
    d.to.port = to.port;
    d.payload.assign(payload.begin(), payload.end());
    got_.push_back(std::move(d));
  }

  sim::EventLoop loop_;
  sim::Network network_{&loop_, 3};
  std::unique_ptr<ingress::Ingress> ingress_;
  std::deque<ReadDatagram> got_;
};

std::unique_ptr<IngressHarness> make(const ingress::Config& config, std::string* why) {
  auto harness = std::make_unique<SimHarness>(config, why);
  if (!harness->good()) return nullptr;
  return harness;
}

INSTANTIATE_TEST_SUITE_P(Sim, IngressConformance,
                         testing::Values(IngressFactory{.name = "sim", .make = make}),
                         factory_name);

TEST(SimIngress, DamagedDatagramsAreDroppedAndCounted) {
  sim::EventLoop loop;
  sim::Network network(&loop, 5);
  network.set_faults({.corrupt_ppm = 1'000'000});
  ingress::sim::SimIngress::use(&network);
  std::string why;
  ingress::Config config;
  config.addresses = {*ingress::parse_address("10.0.0.2/24")};
  config.base_port = 9000;
  auto ingress = ingress::find_driver("sim")->open(config, &why);
  ASSERT_TRUE(ingress.has_value()) << why;
  ASSERT_EQ((*ingress)->start(&why), Status::kOk);
  network.send({}, {ingress::parse_address("10.0.0.2")->address, 9000}, as_bytes("hello"));
  loop.run_until(1'000'000);
  std::array<ingress::Datagram, 4> in;
  EXPECT_EQ((*ingress)->queue(0).receive(in), 0u);
  EXPECT_EQ((*ingress)->queue(0).counters().dropped_checksum, 1u);
  ingress::sim::SimIngress::use(nullptr);
}

TEST(SimIngress, OutsideOfASimulationThereIsNone) {
  std::string why;
  EXPECT_EQ(ingress::find_driver("sim")->open({}, &why).error(), Status::kUnsupported);
  EXPECT_NE(why.find("ingress = ethdev"), std::string::npos) << why;
}

}  // namespace

}  // namespace dinomo::test
