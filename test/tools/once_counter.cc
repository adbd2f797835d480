// SPDX-License-Identifier: BSD-3-Clause
// Counts and appends through the client library, which repeats what is not answered, and then holds
// against what is stored: every INCR counted once and each number given once, every appended word
// there once, every ADD of a new key successful. Prints one JSON line; exit status 1 if anything
// ran twice, or an acknowledged one never.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "client/blocking.h"
#include "client/udp_transport.h"
#include "drivers/clock/system/system_clock.h"

namespace {

using dinomo::as_bytes;
using dinomo::client::Blocking;
using dinomo::client::Client;
using dinomo::client::Completion;
using dinomo::client::Operation;
namespace wire = dinomo::wire;

class Load {
 public:
  Load(Client* client, dinomo::Clock* clock, uint64_t keys)
      : client_(client), clock_(clock), counters_(keys), lists_(keys) {}

  /// At most `per_s` are started a second.
  void run(uint64_t operations, uint64_t per_s, uint32_t depth) {
    const uint64_t begin_ns = clock_->now_ns();
    while (started_ < operations || client_->in_flight() != 0) {
      const uint64_t due = (clock_->now_ns() - begin_ns) / 1000 * per_s / 1'000'000;
      const uint64_t until = std::min(operations, due);
      while (started_ < until && client_->in_flight() < depth) start();
      client_->flush();
      if (client_->poll() == 0) client_->wait(1'000'000);
    }
  }

  void check() {
    Blocking call(client_);
    for (size_t key = 0; key < counters_.size(); ++key) {
      const uint64_t number = call.get(as_bytes(counter_name(key))).number().value_or(0);
      const Counter& c = counters_[key];
      if (number < c.acked || number > c.acked + c.unknown) {
        violation(fmt::format("{} is {}: {} acknowledged, {} unknown", counter_name(key), number,
                              c.acked, c.unknown));
      }
      const auto list = call.get(as_bytes(list_name(key)));
      for (const std::string& word : lists_[key]) {
        const std::string text(list.text());
        const size_t first = text.find(word);
        if (first == std::string::npos) violation(fmt::format("{} is missing", word));
        if (first != text.rfind(word)) violation(fmt::format("{} is there twice", word));
      }
    }
  }

  std::string report() const {
    const auto& c = client_->counters();
    return fmt::format(
        R"({{"acked":{},"unknown":{},"violations":{},"timeouts":{},"hellos":{},"sessions":{}}})",
        acked_, unknown_, violations_, c.timeouts, c.hellos, c.sessions);
  }
  uint64_t violations() const { return violations_; }

 private:
  struct Counter {
    uint64_t acked = 0;
    uint64_t unknown = 0;
    std::set<uint64_t> numbers;
  };
  enum Kind : uint64_t { kCount, kAppend, kAdd };

  static std::string counter_name(size_t key) { return fmt::format("counter{}", key); }
  static std::string list_name(size_t key) { return fmt::format("list{}", key); }

  void start() {
    const uint64_t n = started_++;
    const size_t key = n / 3 % counters_.size();
    const wire::CounterExtras one{1, 1, 0, 1, 0};
    const std::string word = fmt::format("[{}]", n);
    std::string name = counter_name(key);
    Operation op;
    op.context = this;
    op.callback = [](void* self, const Completion& c) { static_cast<Load*>(self)->ended(c); };
    op.tag = n;
    switch (n % 3) {
      case kCount:
        op.opcode = wire::Opcode::kIncr;
        op.extras = dinomo::object_bytes(one);
        break;
      case kAppend:
        name = list_name(key);
        op.opcode = wire::Opcode::kAppend;
        op.value = as_bytes(word);
        break;
      default:
        name = fmt::format("new{}", n);
        op.opcode = wire::Opcode::kAdd;
        op.value = as_bytes(word);
    }
    op.key = as_bytes(name);
    if (client_->submit(op) != dinomo::Status::kOk) --started_;
  }

  void ended(const Completion& c) {
    const size_t key = c.tag / 3 % counters_.size();
    Counter& counter = counters_[key];
    if (!c.answered) {
      ++unknown_;
      if (c.tag % 3 == kCount) ++counter.unknown;
      std::fprintf(stderr, "operation %lu: %s\n", c.tag, dinomo::status_name(c.status));
      return;
    }
    ++acked_;
    const std::string value(dinomo::as_text(c.value));
    switch (c.tag % 3) {
      case kCount:
        ++counter.acked;
        if (!counter.numbers.insert(std::strtoull(value.c_str(), nullptr, 10)).second) {
          violation(fmt::format("counter{} gave {} twice", key, value));
        }
        break;
      case kAppend:
        if (c.wire_status == wire::Status::kOk) lists_[key].push_back(fmt::format("[{}]", c.tag));
        break;
      default: break;
    }
    if (c.wire_status != wire::Status::kOk) {
      violation(fmt::format("operation {}: {}", c.tag, wire::status_name(c.wire_status)));
    }
  }

  void violation(const std::string& what) {
    ++violations_;
    std::fprintf(stderr, "%s\n", what.c_str());
  }

  Client* client_;
  dinomo::Clock* clock_;
  std::vector<Counter> counters_;
  std::vector<std::vector<std::string>> lists_;
  uint64_t started_ = 0, acked_ = 0, unknown_ = 0, violations_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
  std::string server;
  uint64_t keys = 20;
  uint64_t operations = 30'000;
  uint64_t per_s = 8000;
  uint32_t depth = 48;
  CLI::App app("operations that must count once, against a Dinomo server that may restart");
  app.add_option("--server", server)->required();
  app.add_option("--keys", keys);
  app.add_option("--operations", operations);
  app.add_option("--per-s", per_s);
  app.add_option("--depth", depth);
  CLI11_PARSE(app, argc, argv);

  dinomo::SystemClock clock;
  auto transport = dinomo::client::UdpTransport::create({});
  const auto seeds = dinomo::client::parse_addresses(server, wire::kDefaultPort);
  if (!transport || !seeds) return 2;
  dinomo::client::Options options;
  options.deadline_ms = 60'000;
  options.attempts_max = 10'000;
  options.retry_max_ms = 250;
  auto client = Client::create(transport->get(), &clock, options, *seeds);
  if (!client) return 2;
  Blocking call(client->get());
  for (uint64_t key = 0; key < keys; ++key) {
    call.put(as_bytes(fmt::format("list{}", key)), as_bytes("words:"));
  }
  Load load(client->get(), &clock, keys);
  load.run(operations, per_s, depth);
  load.check();
  std::printf("%s\n", load.report().c_str());
  return load.violations() == 0 ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "once_counter: %s\n", e.what());
  return 2;
}
