// SPDX-License-Identifier: BSD-3-Clause
// A connection to the cluster, and what every command does with a reply.
#pragma once

#include <memory>

#include "client/blocking.h"
#include "client/udp_transport.h"
#include "drivers/clock/system/system_clock.h"
#include "settings.h"

namespace dinomo::cli {

class Session {
 public:
  explicit Session(const Settings& settings) : settings_(settings) {}

  /// An exit status; sends nothing yet.
  int open();

  client::Blocking& call() { return *blocking_; }
  client::Client& client() { return *client_; }

  /// Exit status for a reply; prints what went wrong.
  int judge(const client::Reply& reply) const;
  /// With --verbose: status, latency and version, on stderr.
  void remark(const client::Reply& reply) const;

 private:
  int no_answer(const client::Reply& reply) const;

  const Settings& settings_;
  SystemClock clock_{false};  // no measuring: a command takes a millisecond
  std::unique_ptr<client::UdpTransport> transport_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<client::Blocking> blocking_;
};

}  // namespace dinomo::cli
