// SPDX-License-Identifier: BSD-3-Clause
// memcached's protocol over TCP through the kernel's stack, on the control lcore: for clients and
// tools that know no UDP. Operations go to the workers; speed is not the point.
//
// Bounds: kConnectionsMax connections (more are refused at once), of each the input that a largest
// command needs, and so much unsent output that a connection whose client does not read is not
// served further. Nothing blocks but wait().
// Thread rule: the control lcore.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memcached/udp_server.h"

namespace dinomo::app {

class MemcachedTcp final : public kn::Protocol, public kn::Waker, public memcached::Server {
 public:
  static constexpr size_t kConnectionsMax = 256;
  static constexpr uint32_t kSlots = 256;

  /// `desk` is not owned. An empty list of networks lets everybody in.
  MemcachedTcp(memcached::ServerConfig config, kn::ErrandDesk* desk);
  ~MemcachedTcp() override;
  MemcachedTcp(const MemcachedTcp&) = delete;
  MemcachedTcp& operator=(const MemcachedTcp&) = delete;

  /// "127.0.0.1:11211" or "[::1]:11211". False: `why` says what is wrong and what to do.
  bool listen(const std::string& address, std::string* why);
  const memcached::Counters& counters() const noexcept { return counters_; }

  /// Until there is something to do, at most `timeout_us`.
  void wait(uint32_t timeout_us) noexcept;
  void wake() noexcept override;

  void take(const ingress::Datagram&) noexcept override {}
  uint32_t poll() noexcept override;
  bool waiting() const noexcept override { return false; }
  void on_progress(memcached::Exchange* exchange) noexcept override;
  void write_stats(std::string_view arguments, memcached::Output* out) noexcept override;

 private:
  struct Connection;

  uint32_t accept_all() noexcept;
  void refuse(int descriptor, std::string_view why) noexcept;
  bool serve(Connection* connection) noexcept;
  bool read_more(Connection* connection) noexcept;
  bool write_out(Connection* connection) noexcept;
  void watch(Connection* connection) noexcept;
  void close_dead() noexcept;

  memcached::ServerConfig config_;
  memcached::Counters counters_;
  memcached::Slots slots_;
  memcached::Place place_;
  int epoll_ = -1;
  int listener_ = -1;
  int event_ = -1;
  bool attention_ = false;  // somebody is blocked: poll again without waiting
  std::vector<std::unique_ptr<Connection>> connections_;
};

/// The two parts of "host:port"; nothing if it is none.
struct HostAndPort {
  std::string host;
  std::string port;
};
std::optional<HostAndPort> split_address(const std::string& address);

}  // namespace dinomo::app
