// SPDX-License-Identifier: BSD-3-Clause
// What an operation costs the KN engine with the network left out: requests come from memory,
// replies go to memory, the pool is in the same process (engine_rig.h).
//
// CPU time of the thread around the workers' turns only; merging and making requests are not in it.
// Rounds of all variants are interleaved; median and range are shown. Every reply is checked,
// status and value, in a pass that is not timed, and the engine's counters must say that the
// operations were of the kind that the variant is named after.
//
//   single    32 datagrams a burst with an operation each, all of one client
//   clients   the same from 32 clients, so each reply is a datagram of its own
//   packed    4 datagrams a burst with 16 operations each, all of one client
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "test/bench/engine_rig.h"
#include "test/bench/raw_costs.h"

namespace {

using namespace dinomo;
using namespace dinomo::bench;

constexpr uint64_t kAbsentBit = uint64_t{1} << 62;
constexpr uint32_t kClients = 32;
constexpr int kRawRoundsMax = 9;
constexpr uint32_t kPacked = 16;
constexpr uint32_t kPackedDatagrams = 4;  // more misses a turn than that would be refused as BUSY

struct Options {
  uint64_t keys = 1'000'000;
  uint64_t operations = 200'000;
  int rounds = 9;
  std::string only;
  std::string json;
  std::string directory;
  bool smoke = false;
};

enum class Shape { kSingle, kClients, kPacked };
enum class Kind { kValueHit, kShortcutHit, kMiss, kAbsent, kPut };
constexpr const char* kShapeNames[] = {"single", "clients", "packed"};
constexpr const char* kKindNames[] = {"get-value-hit", "get-shortcut-hit", "get-miss", "get-absent",
                                      "put"};

struct Variant {
  Kind kind;
  size_t value_bytes;
  Shape shape;
  size_t position = 0;  // in its keys
  std::vector<double> ns = {};
  uint64_t operations = 0;
  uint64_t as_named = 0;

  std::string name() const {
    return std::string(kKindNames[static_cast<int>(kind)]) + "-" + std::to_string(value_bytes) +
           "-" + kShapeNames[static_cast<int>(shape)];
  }
  uint16_t worker() const {
    if (kind == Kind::kValueHit || kind == Kind::kPut) return kValues;
    return kind == Kind::kShortcutHit ? kShortcuts : kUncached;
  }
  uint32_t per_datagram() const { return shape == Shape::kPacked ? kPacked : 1; }
  uint32_t burst() const { return shape == Shape::kPacked ? kPackedDatagrams : 32; }
};

struct Client {
  ingress::Peer peer;
  uint64_t session = 0;
  uint64_t cookie = 0;
  std::array<uint64_t, kWorkers> sequence{};
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class Bench {
 public:
  explicit Bench(const Options& o) : o_(o) {}

  bool prepare(std::string* why);
  bool measure(Variant* v, bool timed);
  bool check_all(std::vector<Variant>& variants);

 private:
  using Keys = std::vector<uint64_t>;

  void choose_keys(Keys* keys, uint64_t first, uint16_t worker, uint64_t count);
  bool hello(uint16_t worker, Client* client);
  bool load(uint16_t worker, Keys& keys, size_t value_bytes);
  Keys& keys_of(const Variant& v) {
    if (v.kind == Kind::kAbsent) return absent_;
    return keys_[v.worker()][v.value_bytes == 64 ? 0 : 1];
  }
  uint64_t write_script(Variant* v, uint64_t operations);
  void write_message(wire::Writer& w, const Variant& v, uint64_t key, Client* client);
  double run_script(uint16_t worker, uint64_t operations);
  uint64_t named_counter(const Variant& v);
  void check_reply(const Variant& v, Bytes datagram);
  void fill_value(uint64_t key, size_t bytes);

  const Options& o_;
  std::unique_ptr<Rig> rig_;
  std::array<Client, kClients> clients_;
  std::array<std::array<Keys, 2>, kWorkers> keys_;  // by worker and size of value
  Keys absent_;
  std::array<std::byte, 1024> value_{};
  uint64_t wrong_ = 0;
  uint64_t unanswered_ = 0;
};

/// `count` keys that the ring gives to `worker`, in random order.
void Bench::choose_keys(Keys* keys, uint64_t first, uint16_t worker, uint64_t count) {
  for (uint64_t n = first; keys->size() < count; ++n) {
    if (worker_of(routing_hash(object_bytes(n)), kWorkers) == worker) keys->push_back(n);
  }
  std::shuffle(keys->begin(), keys->end(), std::mt19937_64(first + worker));
}

bool Bench::prepare(std::string* why) {
  const uint64_t few = std::max<uint64_t>(o_.keys / 4, 1024);
  const std::array<uint64_t, kWorkers> counts{o_.keys, few, few};
  for (uint16_t w = 0; w < kWorkers; ++w) {
    choose_keys(&keys_[w][0], 0, w, counts[w]);
    choose_keys(&keys_[w][1], uint64_t{1} << 40, w, few);
  }
  choose_keys(&absent_, kAbsentBit, kUncached, few);
  RigConfig config;
  config.directory = o_.directory;
  // Twice the entries, since PUT writes them anew, and room for segments that wait for reuse.
  config.pool_bytes = (uint64_t{512} << 20) + o_.keys * 2 * 256 + few * (2 * 256 + 3 * 2 * 1280);
  config.cache_bytes = {(uint64_t{64} << 20) + o_.keys * 384 + few * 2048,
                        (uint64_t{16} << 20) + few * 128, uint64_t{1} << 20};
  rig_ = Rig::make(config, why);
  if (rig_ == nullptr) return false;
  for (uint32_t i = 0; i < kClients; ++i) {
    Client& c = clients_[i];
    c.peer.remote_address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
    c.peer.local_address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2};
    c.peer.remote_port = static_cast<uint16_t>(40'000 + i);
    c.peer.local_port = wire::kDefaultPort;
    if (!hello(0, &c)) {
      *why = "HELLO was not answered with a session";
      return false;
    }
  }
  for (uint16_t w = 0; w < kWorkers; ++w) {
    if (!load(w, keys_[w][0], 64) || !load(w, keys_[w][1], 1024)) {
      *why = "loading failed: " + std::to_string(unanswered_) + " writes were not acknowledged";
      return false;
    }
  }
  if (!rig_->settle()) {
    *why = "what was loaded is not merged";
    return false;
  }
  return true;
}

bool Bench::hello(uint16_t worker, Client* client) {
  ReplayQueue& queue = rig_->queue(worker);
  queue.clear();
  wire::DatagramHeader h{};
  h.magic = wire::kMagic;
  h.version = wire::kVersion;
  wire::Writer writer(queue.room(), h);
  wire::MessageHeader m{};
  m.opcode = static_cast<uint8_t>(wire::Opcode::kHello);
  const std::array<std::byte, wire::kHelloBytesMin> padding{};
  writer.append(m, {}, {}, padding);
  queue.add(client->peer, writer.finish().size());
  queue.on_reply([client](Bytes datagram) {
    wire::Reader reader(datagram, wire::Kind::kReply);
    wire::Message reply;
    if (!reader.next(&reply) || reply.value.size() != sizeof(wire::HelloReply)) return;
    const auto hello = dinomo::load<wire::HelloReply>(reply.value.data());
    client->session = hello.session;
    client->cookie = hello.cookie;
  });
  rig_->worker(worker).poll();
  queue.on_reply({});
  return client->session != 0;
}

void Bench::fill_value(uint64_t key, size_t bytes) {
  uint64_t x = key * 0x9e37'79b9'7f4a'7c15u + bytes;
  for (size_t i = 0; i < bytes; i += 8) store(value_.data() + i, x += 0x1234'5678'9abc'def1u);
}

void Bench::write_message(wire::Writer& w, const Variant& v, uint64_t key, Client* client) {
  wire::MessageHeader m{};
  const bool put = v.kind == Kind::kPut;
  m.opcode = static_cast<uint8_t>(put ? wire::Opcode::kPut : wire::Opcode::kGet);
  m.sequence = put ? ++client->sequence[v.worker()] : key & ((uint64_t{1} << 56) - 1);
  if (put) fill_value(key, v.value_bytes);
  w.append(m, {}, object_bytes(key), put ? Bytes(value_).first(v.value_bytes) : Bytes{});
}

/// Fills the queue with up to so many operations, whole bursts; returns how many.
uint64_t Bench::write_script(Variant* v, uint64_t operations) {
  ReplayQueue& queue = rig_->queue(v->worker());
  const Keys& keys = keys_of(*v);
  queue.clear();
  queue.set_burst(v->burst());
  const size_t datagram_max = align_up<size_t>(
      sizeof(wire::DatagramHeader) +
          v->per_datagram() * wire::message_bytes(0, 8, v->kind == Kind::kPut ? v->value_bytes : 0),
      64);
  uint64_t written = 0;
  while (written < operations && queue.fits(datagram_max * v->burst())) {
    for (uint32_t d = 0; d < v->burst(); ++d) {
      Client& client = clients_[v->shape == Shape::kClients ? d % kClients : 0];
      wire::DatagramHeader h{};
      h.magic = wire::kMagic;
      h.version = wire::kVersion;
      h.session = client.session;
      h.cookie = client.cookie;
      wire::Writer writer(queue.room().first(wire::kDatagramBytesMax), h);
      for (uint32_t i = 0; i < v->per_datagram(); ++i) {
        write_message(writer, *v, keys[v->position], &client);
        v->position = v->position + 1 == keys.size() ? 0 : v->position + 1;
        ++written;
      }
      queue.add(client.peer, writer.finish().size());
    }
  }
  return written;
}

/// Returns the CPU time that the worker took.
double Bench::run_script(uint16_t w, uint64_t operations) {
  ReplayQueue& queue = rig_->queue(w);
  kn::Worker& worker = rig_->worker(w);
  const uint64_t replies = queue.replies();
  const double began = cpu_ns();
  while (!queue.finished()) worker.poll();
  for (int i = 0; i < 16 && queue.replies() - replies < operations; ++i) worker.poll();
  const double spent = cpu_ns() - began;
  for (int i = 0; i < 1'000'000 && queue.replies() - replies < operations; ++i) rig_->rest();
  unanswered_ += operations - std::min(operations, queue.replies() - replies);
  return spent;
}

bool Bench::load(uint16_t worker, Keys& keys, size_t value_bytes) {
  Variant v{.kind = Kind::kPut, .value_bytes = value_bytes, .shape = Shape::kSingle};
  std::vector<uint64_t> part;
  for (const uint64_t key : keys) {
    part.push_back(key);
    if (part.size() < 32 && key != keys.back()) continue;
    ReplayQueue& queue = rig_->queue(worker);
    queue.clear();
    queue.set_burst(32);
    for (const uint64_t k : part) {
      wire::DatagramHeader h{};
      h.magic = wire::kMagic;
      h.version = wire::kVersion;
      h.session = clients_[0].session;
      h.cookie = clients_[0].cookie;
      wire::Writer writer(queue.room().first(wire::kDatagramBytesMax), h);
      wire::MessageHeader m{};
      m.opcode = static_cast<uint8_t>(wire::Opcode::kPut);
      m.sequence = ++clients_[0].sequence[worker];
      fill_value(k, value_bytes);
      writer.append(m, {}, object_bytes(k), Bytes(value_).first(value_bytes));
      queue.add(clients_[0].peer, writer.finish().size());
    }
    run_script(worker, part.size());
    rig_->rest();
    part.clear();
    if (unanswered_ != 0) return false;
  }
  return true;
}

uint64_t Bench::named_counter(const Variant& v) {
  const kn::WorkerStats& s = rig_->worker(v.worker()).stats();
  switch (v.kind) {
    case Kind::kValueHit: return s.value_hits.get();
    case Kind::kShortcutHit: return s.shortcut_hits.get();
    case Kind::kMiss: return s.misses.get();
    case Kind::kAbsent: return s.absent.get();
    case Kind::kPut: return s.puts.get();
  }
  return 0;
}

void Bench::check_reply(const Variant& v, Bytes datagram) {
  wire::Reader reader(datagram, wire::Kind::kReply);
  wire::Message m;
  while (reader.next(&m)) {
    const bool absent = v.kind == Kind::kAbsent;
    if (m.status() != (absent ? wire::Status::kNotFound : wire::Status::kOk)) ++wrong_;
    if (v.kind == Kind::kPut || absent) continue;
    fill_value(m.header.sequence, v.value_bytes);
    if (!equal(m.value, Bytes(value_).first(v.value_bytes))) ++wrong_;
  }
  if (reader.error() != wire::ReadError::kNone) ++wrong_;
}

/// One round of a variant. Between scripts, the rest of the system has its turn.
bool Bench::measure(Variant* v, bool timed) {
  double spent = 0;
  uint64_t done = 0;
  const uint64_t named = named_counter(*v);
  while (done < o_.operations) {
    const uint64_t n = write_script(v, o_.operations - done);
    spent += run_script(v->worker(), n);
    done += n;
    rig_->rest();
  }
  if (timed) v->ns.push_back(spent / static_cast<double>(done));
  v->operations += done;
  v->as_named += named_counter(*v) - named;
  if (v->kind == Kind::kPut && !rig_->settle()) return false;
  return unanswered_ == 0;
}

/// Also warms up: each variant once over.
bool Bench::check_all(std::vector<Variant>& variants) {
  for (Variant& v : variants) {
    rig_->queue(v.worker()).on_reply([this, &v](Bytes datagram) { check_reply(v, datagram); });
    const bool whole = measure(&v, false);
    rig_->queue(v.worker()).on_reply({});
    if (!whole || wrong_ != 0) {
      std::fprintf(stderr, "engine_bench: %s: %lu wrong answers, %lu requests unanswered\n",
                   v.name().c_str(), wrong_, unanswered_);
      return false;
    }
    v.operations = v.as_named = 0;
  }
  return true;
}

std::vector<Variant> make_variants(const Options& o) {
  std::vector<Variant> all;
  for (const Kind kind :
       {Kind::kValueHit, Kind::kShortcutHit, Kind::kMiss, Kind::kAbsent, Kind::kPut}) {
    for (const size_t bytes : {64ul, 1024ul}) {
      for (const Shape shape : {Shape::kSingle, Shape::kClients, Shape::kPacked}) {
        if (kind == Kind::kAbsent && bytes != 64) continue;  // there is no value
        if (kind == Kind::kPut && bytes == 1024 && shape == Shape::kPacked) continue;  // one fits
        Variant v{.kind = kind, .value_bytes = bytes, .shape = shape};
        if (v.name().find(o.only) != std::string::npos) all.push_back(std::move(v));
      }
    }
  }
  return all;
}

struct Raw {
  const char* name;
  std::function<double()> run;
  std::vector<double> ns = {};
};

nlohmann::json row(const std::string& name, const std::vector<double>& ns) {
  const auto [least, most] = std::ranges::minmax(ns);
  std::printf("%-30s %9.1f   %8.1f - %.1f\n", name.c_str(), median(ns), least, most);
  return {{"name", name}, {"ns", median(ns)}, {"ns_min", least}, {"ns_max", most}};
}

bool report(const Options& o, const std::vector<Variant>& variants, const std::vector<Raw>& raws) {
  nlohmann::json out{{"keys", o.keys}, {"operations", o.operations}, {"rounds", o.rounds}};
  bool good = true;
  std::printf("%-30s %9s   %s\n", "CPU ns per operation", "median", "range");
  for (const Variant& v : variants) {
    nlohmann::json r = row(v.name(), v.ns);
    r["share_as_named"] = static_cast<double>(v.as_named) / static_cast<double>(v.operations);
    out["engine"].push_back(r);
    if (v.as_named * 100 >= v.operations * 99) continue;
    std::printf("  only %lu of %lu operations were such\n", v.as_named, v.operations);
    good = false;
  }
  std::printf("\nthe machine, in the same run\n");
  for (const Raw& raw : raws) out["machine"].push_back(row(raw.name, raw.ns));
  if (!o.json.empty()) {
    std::ofstream file(o.json);
    file << out.dump(2) << '\n';
    if (!file) {
      std::fprintf(stderr, "engine_bench: cannot write %s\n", o.json.c_str());
      return false;
    }
  }
  return good;
}

bool run(const Options& o) {
  Bench bench(o);
  std::string why;
  if (!bench.prepare(&why)) {
    std::fprintf(stderr, "engine_bench: %s\n", why.c_str());
    return false;
  }
  std::vector<Variant> variants = make_variants(o);
  if (variants.empty()) {
    std::fprintf(stderr, "engine_bench: no variant has '%s' in its name\n", o.only.c_str());
    return false;
  }
  if (!bench.check_all(variants)) return false;
  RawCosts costs(o.smoke ? size_t{8} << 20 : size_t{256} << 20, o.operations);
  std::vector<Raw> raws{
      {"random read, dependent", [&] { return costs.random_read(); }, {}},
      {"memcpy 64 B, in cache", [&] { return costs.copy_hot(64); }, {}},
      {"memcpy 64 B, from anywhere", [&] { return costs.copy_random(64); }, {}},
      {"memcpy 1 KB, in cache", [&] { return costs.copy_hot(1024); }, {}},
      {"memcpy 1 KB, from anywhere", [&] { return costs.copy_random(1024); }, {}},
      {"XXH3 8 B", [&] { return costs.xxh3(8); }, {}},
      {"XXH3 64 B", [&] { return costs.xxh3(64); }, {}},
      {"XXH3 1 KB", [&] { return costs.xxh3(1024); }, {}},
      {"exactly once, 1 client", [&] { return costs.claim_and_finish(1); }, {}},
      {"exactly once, 1000 clients", [&] { return costs.claim_and_finish(1000); }, {}},
  };
  for (int round = 0; round < o.rounds; ++round) {
    for (Variant& v : variants) {
      if (!bench.measure(&v, true)) {
        std::fprintf(stderr, "engine_bench: %s: requests were not answered\n", v.name().c_str());
        return false;
      }
    }
    if (round >= kRawRoundsMax) continue;  // a profile of many rounds shows the engine only
    for (Raw& raw : raws) raw.ns.push_back(raw.run());
  }
  return report(o, variants, raws);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App cli{"CPU time of the KN engine an operation, without a network"};
  cli.add_option("--keys", o.keys, "of the working set of value hits")
      ->check(CLI::Range(1024, 100'000'000));
  cli.add_option("--operations", o.operations, "of each variant in a round");
  cli.add_option("--rounds", o.rounds, "")->check(CLI::Range(1, 1000));
  cli.add_option("--only", o.only, "variants with this in their name");
  cli.add_option("--directory", o.directory, "for the pool; default: /dev/shm");
  cli.add_option("--json", o.json, "file to write the results to");
  cli.add_flag("--smoke", o.smoke, "smallest size, to see that it works");
  CLI11_PARSE(cli, argc, argv);
  if (o.smoke) {
    o.keys = 4096;
    o.operations = 4096;
    o.rounds = 1;
  }
  return run(o) ? 0 : 1;
}
