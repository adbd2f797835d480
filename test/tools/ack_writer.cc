// SPDX-License-Identifier: BSD-3-Clause
// Writes and deletes keys through the client library and knows, for every key, what a read may
// return: the newest acknowledged mutation, or one sent after it. Driven by lines on stdin:
//   go       start writing                     check    stop, wait for what is in flight, read all
//   report   counters                          quit
// Every command is answered by one JSON line. Exit status 1 if a check ever found a violation.
// --journal FILE: notes there what it sends and what is acknowledged, at once, and begins with what
// an earlier process noted, so that it can check what a crash of the whole machine left.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/udp_transport.h"
#include "common/file_descriptor.h"
#include "common/hash.h"
#include "drivers/clock/system/system_clock.h"

namespace {

using dinomo::as_bytes;
using dinomo::Bytes;
using dinomo::FileDescriptor;
using dinomo::client::Client;
using dinomo::client::Completion;
using dinomo::client::Operation;

/// What value number `version` of key `key` looks like: both numbers, then bytes that follow from
/// them, of a length that follows from them.
std::string make_value(uint64_t key, uint64_t version, size_t bytes_max) {
  std::string value = fmt::format("{}:{}:", key, version);
  uint64_t state = key * 1'000'003 + version;
  const size_t bytes = value.size() + dinomo::checksum64(dinomo::object_bytes(state)) % bytes_max;
  while (value.size() < bytes) {
    state = state * 6'364'136'223'846'793'005 + 1;
    value.push_back(static_cast<char>('!' + (state >> 33) % 90));
  }
  return value;
}

/// Every eighth mutation or so deletes.
bool is_delete(uint64_t key, uint64_t version) {
  const uint64_t both[] = {key, version};
  return dinomo::checksum64(dinomo::object_bytes(both)) % 8 == 0;
}

class Writer {
 public:
  Writer(Client* client, uint64_t keys, size_t value_bytes, uint64_t seed)
      : client_(client), keys_(keys), value_bytes_(value_bytes), random_(seed) {}

  /// False if the file cannot be had, or holds what no journal holds.
  bool open_journal(const std::string& path) {
    journal_ = FileDescriptor(::open(path.c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0644));
    if (!journal_) return false;
    std::ifstream before(path);
    char what = 0;
    uint64_t key = 0;
    uint64_t version = 0;
    while (before >> what >> key >> version) {
      if (key >= keys_.size()) return false;
      Key& k = keys_[key];
      k.sent = std::max(k.sent, version);
      if (what == kAcked) k.acked = std::max(k.acked, version);
    }
    return before.eof();
  }

  void turn(bool writing) {
    client_->poll();
    if (writing) {
      for (int i = 0; i < 16 && client_->in_flight() < 64; ++i) write_one();
    }
    client_->flush();
  }

  /// Reads every key; returns violations found now.
  uint64_t check() {
    while (client_->in_flight() != 0) {
      client_->poll();
      client_->wait(1'000'000);
    }
    const uint64_t before = violations_;
    for (uint64_t key = 0; key < keys_.size(); ++key) {
      read(key);
      while (client_->in_flight() >= 64) {
        client_->flush();
        client_->wait(1'000'000);
        client_->poll();
      }
    }
    while (client_->in_flight() != 0) {
      client_->flush();
      client_->wait(1'000'000);
      client_->poll();
    }
    return violations_ - before;
  }

  std::string report() const {
    const auto& c = client_->counters();
    return fmt::format(
        R"({{"acked":{},"unknown":{},"refused":{},"violations":{},"checked":{},"timeouts":{},"sessions":{}}})",
        acked_, unknown_, refused_, violations_, checked_, c.timeouts, c.sessions);
  }
  uint64_t violations() const { return violations_; }

 private:
  static constexpr char kSent = 's';
  static constexpr char kAcked = 'a';

  void note(char what, uint64_t key, uint64_t version) {
    if (!journal_) return;
    const std::string line = fmt::format("{} {} {}\n", what, key, version);
    if (::write(journal_.get(), line.data(), line.size()) < 0) std::perror("journal");
  }

  struct Key {
    uint64_t sent = 0;   // newest version sent
    uint64_t acked = 0;  // newest version acknowledged; reads must not be older
    bool busy = false;
  };

  void write_one() {
    const uint64_t key = random_() % keys_.size();
    Key& k = keys_[key];
    if (k.busy) return;
    const uint64_t version = k.sent + 1;
    const std::string name = fmt::format("key{:06}", key);
    const bool remove = is_delete(key, version);
    const std::string value = remove ? "" : make_value(key, version, value_bytes_);
    Operation op;
    op.opcode = remove ? dinomo::wire::Opcode::kDelete : dinomo::wire::Opcode::kPut;
    op.key = as_bytes(name);
    op.value = as_bytes(value);
    op.callback = &Writer::on_written;
    op.context = this;
    op.tag = key;
    note(kSent, key, version);
    if (client_->submit(op) != dinomo::Status::kOk) return;
    k.sent = version;
    k.busy = true;
  }

  static void on_written(void* context, const Completion& c) {
    auto* self = static_cast<Writer*>(context);
    Key& k = self->keys_[c.tag];
    k.busy = false;
    const bool done = c.answered && (c.wire_status == dinomo::wire::Status::kOk ||
                                     c.wire_status == dinomo::wire::Status::kNotFound);
    if (done) {
      k.acked = k.sent;
      ++self->acked_;
      self->note(kAcked, c.tag, k.acked);
    } else if (c.answered) {
      ++self->refused_;
    } else {
      ++self->unknown_;
    }
  }

  void read(uint64_t key) {
    const std::string name = fmt::format("key{:06}", key);
    Operation op;
    op.key = as_bytes(name);
    op.callback = &Writer::on_read;
    op.context = this;
    op.tag = key;
    while (client_->submit(op) != dinomo::Status::kOk) client_->poll();
  }

  static void on_read(void* context, const Completion& c) {
    auto* self = static_cast<Writer*>(context);
    const Key& k = self->keys_[c.tag];
    ++self->checked_;
    if (self->allowed(c.tag, k, c)) return;
    ++self->violations_;
    std::fprintf(stderr, "key%06lu: acknowledged version %lu, sent %lu, read %s '%.40s'\n",
                 static_cast<unsigned long>(c.tag), static_cast<unsigned long>(k.acked),
                 static_cast<unsigned long>(k.sent),
                 c.answered ? dinomo::wire::status_name(c.wire_status) : "nothing",
                 std::string(dinomo::as_text(c.value)).c_str());
  }

  bool allowed(uint64_t key, const Key& k, const Completion& c) const {
    if (!c.answered) return false;
    for (uint64_t version = k.acked; version <= k.sent; ++version) {
      const bool absent = version == 0 || is_delete(key, version);
      if (absent && c.wire_status == dinomo::wire::Status::kNotFound) return true;
      if (!absent && c.wire_status == dinomo::wire::Status::kOk &&
          dinomo::as_text(c.value) == make_value(key, version, value_bytes_)) {
        return true;
      }
    }
    return false;
  }

  Client* client_;
  FileDescriptor journal_;
  std::vector<Key> keys_;
  size_t value_bytes_;
  std::mt19937_64 random_;
  uint64_t acked_ = 0, unknown_ = 0, refused_ = 0, violations_ = 0, checked_ = 0;
};

/// A line from stdin if one is there; "quit" at its end.
std::string command(std::string* partial) {
  pollfd in{STDIN_FILENO, POLLIN, 0};
  if (::poll(&in, 1, 0) <= 0) return "";
  char buffer[256];
  const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
  if (n <= 0) return "quit";
  partial->append(buffer, static_cast<size_t>(n));
  const size_t end = partial->find('\n');
  if (end == std::string::npos) return "";
  std::string line = partial->substr(0, end);
  partial->erase(0, end + 1);
  return line;
}

}  // namespace

int main(int argc, char** argv) try {
  std::string server;
  uint64_t keys = 2000;
  size_t value_bytes = 900;
  uint64_t seed = 1;
  uint32_t deadline_ms = 60'000;
  CLI::App app("writes acknowledged by a Dinomo server, and checked against it");
  app.add_option("--server", server)->required();
  app.add_option("--keys", keys);
  app.add_option("--value-bytes", value_bytes);
  app.add_option("--seed", seed);
  app.add_option("--deadline-ms", deadline_ms);
  std::string journal;
  app.add_option("--journal", journal);
  CLI11_PARSE(app, argc, argv);

  dinomo::SystemClock clock;
  auto transport = dinomo::client::UdpTransport::create({});
  const auto seeds = dinomo::client::parse_addresses(server, dinomo::wire::kDefaultPort);
  if (!transport || !seeds) return 2;
  dinomo::client::Options options;
  options.deadline_ms = deadline_ms;
  options.attempts_max = 10'000;
  options.retry_max_ms = 250;
  options.seed = seed;
  auto client = Client::create(transport->get(), &clock, options, *seeds);
  if (!client) return 2;
  Writer writer(client->get(), keys, value_bytes, seed);
  if (!journal.empty() && !writer.open_journal(journal)) {
    std::fprintf(stderr, "%s: no journal of %lu keys, or it cannot be opened\n", journal.c_str(),
                 static_cast<unsigned long>(keys));
    return 2;
  }
  bool writing = false;
  std::string partial;
  for (;;) {
    const std::string line = command(&partial);
    if (line == "quit") break;
    if (line == "go") {
      writing = true;
      std::printf("{}\n");
    } else if (line == "check") {
      writing = false;
      writer.check();
      std::printf("%s\n", writer.report().c_str());
    } else if (line == "report") {
      std::printf("%s\n", writer.report().c_str());
    }
    std::fflush(stdout);
    writer.turn(writing);
    if (!writing) (*client)->wait(1'000'000);
  }
  return writer.violations() == 0 ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "ack_writer: %s\n", e.what());
  return 2;
}
