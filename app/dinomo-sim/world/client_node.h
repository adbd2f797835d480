// SPDX-License-Identifier: BSD-3-Clause
// A simulated client: the client library, a random load, and a record of what it asked and heard.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "client/client.h"
#include "client/ingress_transport.h"
#include "sim/history.h"
#include "sim/node_clock.h"
#include "world/environment.h"
#include "world/lcore.h"

namespace dinomo::world {

struct LoadOptions {
  uint32_t keys = 50;          // shared by all clients; a third each registers, counters, lists
  uint32_t depth = 4;          // operations in flight of a client
  uint64_t operations = 1000;  // of a client
  uint32_t read_percent = 50;
  uint32_t delete_percent = 10;       // of the mutations
  uint32_t expiry_percent = 0;        // of what stores values
  uint32_t conditional_percent = 20;  // of the mutations: ADD REPLACE CAS, APPEND ..., INCR ...
  uint32_t ttl_ms_max = 50;
  uint32_t value_bytes_max = 900;
  uint64_t think_ns = 0;  // at most, between operations
  bool record = true;
  bool exactly_once = true;  // false: a mutation that was sent again may count again
};

struct ClientOptions {
  uint32_t number = 0;
  std::string ip = "10.0.2.1";
  std::vector<std::string> seeds;  // IP addresses of KNs
  LoadOptions load;
  client::Options client;
  sim::ClockFaults clock;
  uint64_t seed = 1;
};

class ClientNode {
 public:
  /// Lower numbers are asked for more often.
  static std::string key_name(uint64_t key) { return "key" + std::to_string(key); }

  ClientNode(Environment* environment, const ClientOptions& options);
  ~ClientNode();

  /// All operations asked for and ended.
  bool finished() const noexcept { return started_ == load_.operations && in_flight_ == 0; }
  uint32_t in_flight() const noexcept { return in_flight_; }
  const std::string& ip() const noexcept { return options_.ip; }
  uint64_t answered() const noexcept { return answered_; }
  uint64_t given_up() const noexcept { return given_up_; }
  const sim::History& history() const noexcept { return history_; }
  /// The tag of a whole value; any other value as it is.
  static std::string shorten(Bytes value);
  uint32_t requests_max() const noexcept { return options_.client.in_flight_max; }
  const client::Client& library() const noexcept { return *client_; }

  /// One more operation on every key.
  void read_all() { sweep(wire::Opcode::kGet); }
  void overwrite_all() { sweep(wire::Opcode::kPut); }
  void delete_all() { sweep(wire::Opcode::kDelete); }

 private:
  struct Call {
    ClientNode* node = nullptr;
    sim::Operation operation;
    uint64_t think_until_ns = 0;
    bool free = true;
  };

  void sweep(wire::Opcode opcode);
  uint32_t turn();
  void submit(Call* call);
  sim::Operation choose();
  void choose_mutation(sim::Operation* o, uint32_t kind);
  void store_value(sim::Operation* o, bool padded);
  bool percent(uint32_t p) noexcept { return random_.below(100) < p; }
  static void completed(void* context, const client::Completion& c);
  void on_completion(Call* call, const client::Completion& c);

  Environment* environment_;
  const ClientOptions options_;
  LoadOptions load_;
  sim::NodeClock clock_;
  client::Random random_;
  std::unique_ptr<ingress::Ingress> ingress_;
  std::unique_ptr<client::IngressTransport> transport_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<Lcore> lcore_;
  std::vector<Call> calls_;
  std::unordered_map<std::string, uint64_t> versions_;  // last seen
  sim::History history_;
  uint64_t started_ = 0;
  uint64_t answered_ = 0;
  uint64_t given_up_ = 0;
  uint64_t values_ = 0;
  uint32_t in_flight_ = 0;
  uint64_t sweep_from_ = 0;  // operations from here on are the sweep's
  wire::Opcode sweep_ = wire::Opcode::kPing;
};

}  // namespace dinomo::world
