// SPDX-License-Identifier: BSD-3-Clause
// Somebody on the clients' network who may not change anything: sends requests with guessed or
// stolen sessions and cookies, and with other machines' addresses. What it stores is a value that
// no client ever wrote, so the history tells if it got through.
#pragma once

#include <string>
#include <vector>

#include "client/random.h"
#include "sim/network.h"
#include "world/environment.h"

namespace dinomo::world {

class Forger final : private sim::Handler, private sim::Network::Port {
 public:
  struct Options {
    uint64_t count = 0;
    uint64_t window_ns = 0;
    uint32_t keys = 1;
    uint64_t seed = 1;
  };
  Forger(Environment* environment, const Options& options);
  ~Forger() override;
  Forger(const Forger&) = delete;
  Forger& operator=(const Forger&) = delete;

  uint64_t sent() const noexcept { return sent_; }
  /// More bytes came back than were sent, which without a valid cookie must not be. Says nothing if
  /// the network doubles datagrams.
  bool amplified() const noexcept { return received_bytes_ > sent_bytes_; }

 private:
  void on_event(uint64_t argument) override;
  /// Of clients, from which sessions and cookies are stolen.
  void on_request(const sim::NetworkAddress& from, const sim::NetworkAddress& to, Bytes payload);
  void deliver(const sim::NetworkAddress& from, const sim::NetworkAddress& to, Bytes payload,
               bool corrupted) override;

  Environment* environment_;
  const Options options_;
  sim::EventLoop::HandlerId id_;
  client::Random random_;
  sim::NetworkAddress own_;
  sim::NetworkAddress client_;  // of the last request that was seen
  sim::NetworkAddress kn_;
  uint64_t session_ = 0;
  uint64_t cookie_ = 0;
  uint64_t sequence_ = 0;
  bool sending_ = false;  // what the tap sees is the forger's own
  uint64_t sent_ = 0;
  uint64_t sent_bytes_ = 0;  // in its own name
  uint64_t received_bytes_ = 0;
};

}  // namespace dinomo::world
