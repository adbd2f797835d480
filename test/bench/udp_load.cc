// SPDX-License-Identifier: BSD-3-Clause
// Load for a bare UDP echo, to see what a datagram costs before anything is done with it. Closed
// loop over one socket; prints one JSON line.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "telemetry/histogram.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kBurst = 32;
constexpr auto kLostAfter = std::chrono::milliseconds(200);

struct Setup {
  std::string address;
  uint16_t port = 9000;
  size_t bytes = 64;
  uint32_t window = 64;
  double seconds = 2;
};

uint64_t now_ns() { return static_cast<uint64_t>(Clock::now().time_since_epoch().count()); }

class Load {
 public:
  Load(const Setup& s, int fd) : s_(s), fd_(fd), out_(kBurst * s.bytes), in_(kBurst * kRoom) {
    for (unsigned i = 0; i < kBurst; ++i) {
      out_parts_[i] = {out_.data() + i * s.bytes, s.bytes};
      out_heads_[i].msg_hdr.msg_iov = &out_parts_[i];
      in_parts_[i] = {in_.data() + size_t{i} * kRoom, kRoom};
      in_heads_[i].msg_hdr.msg_iov = &in_parts_[i];
      out_heads_[i].msg_hdr.msg_iovlen = in_heads_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  void run(double seconds) {
    const uint64_t end = now_ns() + static_cast<uint64_t>(seconds * 1e9);
    uint64_t heard_ns = now_ns();
    while (now_ns() < end) {
      send();
      if (receive()) {
        heard_ns = now_ns();
      } else if (now_ns() - heard_ns >
                 static_cast<uint64_t>(std::chrono::nanoseconds(kLostAfter).count())) {
        lost_ += in_flight_;
        in_flight_ = 0;
        heard_ns = now_ns();
      }
    }
  }

  uint64_t done() const { return done_; }
  uint64_t lost() const { return lost_; }
  const dinomo::telemetry::LatencyHistogram& latency() const { return latency_; }

 private:
  static constexpr size_t kRoom = 2048;

  void send() {
    const unsigned n = std::min(kBurst, s_.window - in_flight_);
    if (n == 0) return;
    const uint64_t now = now_ns();
    for (unsigned i = 0; i < n; ++i) std::memcpy(out_.data() + i * s_.bytes, &now, sizeof now);
    const int sent = ::sendmmsg(fd_, out_heads_.data(), n, 0);
    if (sent > 0) in_flight_ += static_cast<unsigned>(sent);
  }

  bool receive() {
    const int n = ::recvmmsg(fd_, in_heads_.data(), kBurst, MSG_DONTWAIT, nullptr);
    const uint64_t now = now_ns();
    for (int i = 0; i < n; ++i) {
      uint64_t sent_ns = 0;
      std::memcpy(&sent_ns, in_.data() + static_cast<size_t>(i) * kRoom, sizeof sent_ns);
      latency_.record(now - sent_ns);
      ++done_;
      if (in_flight_ != 0) --in_flight_;
    }
    return n > 0;
  }

  Setup s_;
  int fd_;
  std::vector<char> out_;
  std::vector<char> in_;
  std::array<iovec, kBurst> out_parts_{};
  std::array<iovec, kBurst> in_parts_{};
  std::array<mmsghdr, kBurst> out_heads_{};
  std::array<mmsghdr, kBurst> in_heads_{};
  unsigned in_flight_ = 0;
  uint64_t done_ = 0;
  uint64_t lost_ = 0;
  dinomo::telemetry::LatencyHistogram latency_;
};

}  // namespace

int main(int argc, char** argv) {
  Setup s;
  CLI::App app("load for a UDP echo");
  app.add_option("--address", s.address)->required();
  app.add_option("--port", s.port);
  app.add_option("--bytes", s.bytes, "UDP payload")->check(CLI::Range(8, 1472));
  app.add_option("--window", s.window, "datagrams in flight")->check(CLI::Range(1, 4096));
  app.add_option("--seconds", s.seconds);
  CLI11_PARSE(app, argc, argv);
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(s.port);
  if (fd < 0 || ::inet_pton(AF_INET, s.address.c_str(), &to.sin_addr) != 1 ||
      ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    std::fprintf(stderr, "udp_load: cannot reach %s:%u: %s\n", s.address.c_str(), s.port,
                 std::strerror(errno));
    return 1;
  }
  Load load(s, fd);
  const uint64_t began = now_ns();
  load.run(s.seconds);
  const double seconds = static_cast<double>(now_ns() - began) / 1e9;
  std::printf(
      "{\"operations\":%lu,\"lost\":%lu,\"ops_per_s\":%.0f,\"p50_us\":%.2f,\"p99_us\":%.2f}\n",
      load.done(), load.lost(), static_cast<double>(load.done()) / seconds,
      static_cast<double>(load.latency().percentile_ns(50)) / 1e3,
      static_cast<double>(load.latency().percentile_ns(99)) / 1e3);
  return load.done() != 0 ? 0 : 1;
}
