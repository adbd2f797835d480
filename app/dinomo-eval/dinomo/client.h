// SPDX-License-Identifier: BSD-3-Clause
// A client node of an evaluation: the product's client library, with a number of operations in
// flight. Its own CPU is not modelled: clients are never what is measured.
// Thread rule: the event loop's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/dinomo-eval/engine.h"
#include "client/client.h"
#include "client/ingress_transport.h"
#include "sim/node_clock.h"
#include "world/environment.h"
#include "world/lcore.h"

namespace dinomo::eval {

struct ClientConfig {
  std::string ip;
  std::vector<std::string> seeds;  // IP addresses of KNs
  uint32_t depth = 1;
  uint64_t value_bytes = 1000;
  uint32_t retry_min_ms = 100;  // where nothing is lost: a reply that takes long is on its way
  uint64_t seed = 1;
};

class ClientNode {
 public:
  ClientNode(world::Environment* environment, const ClientConfig& config, Source* source);
  ~ClientNode();

  void wake() { lcore_->wake(); }
  const client::Client& library() const noexcept { return *client_; }

 private:
  struct Call {
    ClientNode* node = nullptr;
    Operation operation;
    bool free = true;
  };

  uint32_t turn();
  bool submit(Call* call);
  static void completed(void* context, const client::Completion& c);

  world::Environment* environment_;
  const ClientConfig config_;
  Source* source_;
  sim::NodeClock clock_;
  std::unique_ptr<ingress::Ingress> ingress_;
  std::unique_ptr<client::IngressTransport> transport_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<world::Lcore> lcore_;
  std::vector<Call> calls_;
  std::vector<Call*> free_;
  std::vector<std::byte> value_;
};

}  // namespace dinomo::eval
