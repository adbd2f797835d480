// SPDX-License-Identifier: BSD-3-Clause
// Several clients of one server over kernel sockets, each with a random mix of operations on keys
// that all share. What they asked for and heard is written as a history for `dinomo-sim check`.
// SIGTERM ends the asking before --seconds are over: what is under way is still waited for, and
// written. Prints one JSON line with counts. Exit status 1 if the history cannot be written.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/udp_transport.h"
#include "drivers/clock/system/system_clock.h"
#include "sim/history.h"

namespace {

using dinomo::as_bytes;
using dinomo::as_text;
using dinomo::Bytes;
using dinomo::object_bytes;
using dinomo::client::Client;
using dinomo::client::Completion;
using dinomo::sim::Operation;
using dinomo::wire::Opcode;
namespace wire = dinomo::wire;

struct Settings {
  std::string server;
  std::string file;
  uint32_t clients = 4;
  uint32_t depth = 4;
  uint32_t keys = 120;
  uint64_t seed = 1;
  uint32_t seconds = 10;
  uint32_t pace_us = 0;  // between two times of asking; 0: whenever an answer has come
  uint32_t deadline_ms = 10'000;
  bool exactly_once = false;  // else a mutation that was sent again may count again
};

/// As often as one may count again; the checker takes more for the same.
constexpr uint32_t kCountsAgainMax = 3;

class Party {
 public:
  Party(const Settings& settings, uint64_t number, dinomo::Clock* clock)
      : settings_(settings),
        number_(number),
        clock_(clock),
        random_(settings.seed * 1000 + number),
        calls_(settings.depth) {
    for (Call& c : calls_) c.party = this;
  }

  bool connect(std::span<const dinomo::client::Address> seeds) {
    auto transport = dinomo::client::UdpTransport::create({});
    if (!transport) return false;
    transport_ = std::move(*transport);
    dinomo::client::Options options;
    options.deadline_ms = settings_.deadline_ms;
    options.attempts_max = 10'000;
    options.retry_max_ms = 250;
    options.seed = settings_.seed * 100 + number_;
    auto client = Client::create(transport_.get(), clock_, options, seeds);
    if (!client) return false;
    client_ = std::move(*client);
    return true;
  }

  void turn(bool asking) {
    client_->poll();
    for (Call& c : calls_) {
      if (asking && c.free) submit(&c);
    }
    client_->flush();
  }
  bool idle() const { return client_->in_flight() == 0; }
  void wait(uint64_t ns) { client_->wait(ns); }

  const dinomo::sim::History& history() const { return history_; }
  const dinomo::client::Counters& counters() const { return client_->counters(); }
  uint64_t answered() const { return answered_; }

 private:
  struct Call {
    Party* party = nullptr;
    Operation operation;
    bool free = true;
  };

  uint64_t below(uint64_t n) { return random_() % n; }

  Operation choose() {
    Operation o;
    o.client = number_;
    const uint64_t key = below(settings_.keys);
    o.key = fmt::format("key{}", key);
    const uint64_t what = below(100);
    if (what < 45) return o;  // GET
    if (what < 52) {
      o.opcode = Opcode::kDelete;
      return o;
    }
    const std::string tag = fmt::format("[{}.{}]", number_, ++values_);
    if (key % 3 == 1) {  // a counter
      o.opcode = what < 60 ? Opcode::kPut : what < 90 ? Opcode::kIncr : Opcode::kDecr;
      o.value = o.opcode == Opcode::kPut ? std::to_string(below(1000)) : "";
      o.delta = 1 + below(3);
      o.initial = 100;
      o.create = below(4) != 0;
      return o;
    }
    if (key % 3 == 2) {  // a list
      o.opcode = what < 60 ? Opcode::kPut : what < 80 ? Opcode::kAppend : Opcode::kPrepend;
      o.value = tag;
      return o;
    }
    o.opcode = what < 80   ? Opcode::kPut
               : what < 86 ? Opcode::kAdd
               : what < 92 ? Opcode::kReplace
                           : Opcode::kCas;
    o.value = tag;
    o.item_flags = static_cast<uint32_t>(below(4));
    const auto seen = versions_.find(o.key);
    o.expected_version = seen != versions_.end() ? seen->second : 1;
    return o;
  }

  void submit(Call* call) {
    Operation& o = call->operation = choose();
    const wire::PutExtras put{0, o.item_flags, 0};
    const wire::CasExtras cas{o.expected_version, put};
    const wire::CounterExtras counter{o.delta, o.initial, 0, o.create ? 1u : 0u, 0};
    dinomo::client::Operation request;
    request.opcode = o.opcode;
    request.key = as_bytes(o.key);
    request.value = as_bytes(o.value);
    request.context = call;
    request.callback = [](void* context, const Completion& c) {
      auto* of = static_cast<Call*>(context);
      of->party->completed(of, c);
    };
    switch (o.opcode) {
      case Opcode::kGet: request.flags = wire::kWantItem; break;
      case Opcode::kPut:
      case Opcode::kAdd:
      case Opcode::kReplace: request.extras = object_bytes(put); break;
      case Opcode::kCas: request.extras = object_bytes(cas); break;
      case Opcode::kIncr:
      case Opcode::kDecr: request.extras = object_bytes(counter); break;
      default: break;
    }
    o.invoke_ns = clock_->now_ns();
    call->free = !ok(client_->submit(request));
  }

  void completed(Call* call, const Completion& c) {
    Operation& o = call->operation;
    call->free = true;
    if (c.answered) {
      ++answered_;
      o.return_ns = clock_->now_ns();
      o.status = c.wire_status;
      if (c.wire_status == wire::Status::kOk) o.result = as_text(c.value);
      o.version = c.version;
      if (c.has_item) {
        o.has_item = true;
        o.result_flags = c.item.item_flags;
        o.result_expiry_ms = c.item.expiry_ms;
        versions_[o.key] = c.item.version;
      }
    }
    history_.push_back(o);
    if (settings_.exactly_once || !wire::is_mutation(o.opcode)) return;
    for (uint32_t again = 1; again < c.transmissions && again <= kCountsAgainMax; ++again) {
      history_.push_back(o);
      history_.back().return_ns = dinomo::sim::kNever;
    }
  }

  const Settings& settings_;
  uint64_t number_;
  dinomo::Clock* clock_;
  std::mt19937_64 random_;
  std::unique_ptr<dinomo::client::UdpTransport> transport_;
  std::unique_ptr<Client> client_;
  std::vector<Call> calls_;
  std::map<std::string, uint64_t> versions_;  // last seen
  dinomo::sim::History history_;
  uint64_t values_ = 0;
  uint64_t answered_ = 0;
};

volatile std::sig_atomic_t enough = 0;

void run(std::vector<std::unique_ptr<Party>>* parties, dinomo::Clock* clock, const Settings& s) {
  const uint64_t stop_ns = clock->now_ns() + s.seconds * 1'000'000'000ull;
  uint64_t ask_ns = 0;
  for (;;) {
    const uint64_t now_ns = clock->now_ns();
    const bool ends = enough != 0 || now_ns >= stop_ns;
    const bool asks = !ends && now_ns >= ask_ns;
    if (asks) ask_ns = now_ns + s.pace_us * 1'000ull;
    bool idle = ends;
    for (const auto& p : *parties) {
      p->turn(asks);
      idle = idle && p->idle();
    }
    if (idle) return;  // every request ends by its deadline
    parties->front()->wait(500'000);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  Settings s;
  CLI::App app("a random load on a Dinomo server, recorded as a history");
  app.add_option("--server", s.server)->required();
  app.add_option("--file", s.file)->required();
  app.add_option("--clients", s.clients);
  app.add_option("--depth", s.depth);
  app.add_option("--keys", s.keys);
  app.add_option("--seed", s.seed);
  app.add_option("--seconds", s.seconds);
  app.add_option("--pace-us", s.pace_us);
  app.add_option("--deadline-ms", s.deadline_ms);
  app.add_flag("--exactly-once", s.exactly_once);
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGTERM, [](int) { enough = 1; });

  dinomo::SystemClock clock;
  const auto seeds = dinomo::client::parse_addresses(s.server, wire::kDefaultPort);
  if (!seeds) return 2;
  std::vector<std::unique_ptr<Party>> parties;
  for (uint32_t i = 0; i < s.clients; ++i) {
    parties.push_back(std::make_unique<Party>(s, i, &clock));
    if (!parties.back()->connect(*seeds)) return 2;
  }
  run(&parties, &clock, s);

  std::ofstream out(s.file);
  uint64_t operations = 0;
  uint64_t answered = 0;
  dinomo::client::Counters sum;
  for (const auto& p : parties) {
    dinomo::sim::write_history(out, p->history());
    const auto& c = p->counters();
    operations += c.completed;
    answered += p->answered();
    sum.timeouts += c.timeouts;
    sum.outcome_unknown += c.outcome_unknown;
    sum.late_replies += c.late_replies;
    sum.malformed += c.malformed;
    sum.sessions += c.sessions;
    sum.no_session += c.no_session;
  }
  fmt::print(
      R"({{"operations":{},"answered":{},"timeouts":{},"outcome_unknown":{},"late_replies":{},"malformed":{},"sessions":{},"no_session":{}}})"
      "\n",
      operations, answered, sum.timeouts, sum.outcome_unknown, sum.late_replies, sum.malformed,
      sum.sessions, sum.no_session);
  return out.flush() ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "history_client: %s\n", e.what());
  return 2;
}
