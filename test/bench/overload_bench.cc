// SPDX-License-Identifier: BSD-3-Clause
// Goodput of one worker beyond saturation: the real engine behind a real port (memif), offered more
// and more by clients (lib/client) in an open loop.
//
// Everything runs in one thread, and time is the CPU time of the worker's turns: receiving,
// serving, refusing, sending. What the clients, the DPM and other processes take is no time at all.
// So there are no clients that are too slow to saturate the worker, and a busy machine makes a run
// longer, not its figures worse.
//
// First a closed loop tells what the worker can serve (the peak); then the open loop offers
// multiples of it. Fails if goodput at three times the peak is below 80 % of the peak.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/ingress_transport.h"
#include "ingress/driver.h"
#include "kn/admission.h"
#include "telemetry/histogram.h"
#include "test/support/engine_world.h"
#include "test/support/memif_pair.h"

namespace {

using namespace dinomo;

constexpr uint16_t kClients = 8;
constexpr uint16_t kServerPort = 11300;
constexpr uint32_t kKeys = 20'000;
constexpr uint32_t kClosedInFlight = 512;  // in all; far below what is ever refused
constexpr uint32_t kOpenInFlight = 16'384;
constexpr double kGoodputLeast = 0.8;
constexpr uint64_t kBarrenTurnsMax = 3'000'000;

struct Options {
  double seconds = 0.3;
  uint32_t value_bytes = 64;
  uint32_t pack = 1;
  uint32_t writes_percent = 50;
  uint32_t strange_kb = 2048;
  std::vector<double> times{0.5, 1, 1.5, 2, 3};
  std::string json;
  bool no_judgement = false;
  bool smoke = false;
};

/// CPU time of this thread since the turn began.
uint64_t g_turn_began_ns = 0;
uint64_t cpu_ns() noexcept {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}
uint64_t turn_so_far_ns() noexcept { return cpu_ns() - g_turn_began_ns; }

struct Point {
  double offered = 0;  // operations a second; 0: closed loop
  double goodput = 0;
  uint64_t submitted = 0;
  uint64_t no_place = 0;  // found as many in flight as there may be, and were not submitted
  uint64_t answered = 0;
  uint64_t given_up = 0;
  uint64_t acknowledged_puts = 0;
  uint64_t unknown_puts = 0;
  telemetry::LatencyHistogram latency;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), value_(options.value_bytes, 'v'), strange_(options.strange_kb * 1024) {}
  ~Bench() {
    clients_.clear();
    transports_.clear();
    world_.reset();
    far_.reset();  // before the near port: memif's own thread tidies up after a peer that leaves
    near_.reset();
  }

  bool make(std::string* why);
  bool load();
  /// Offers `rate` operations a second (0: as many as are answered) for `seconds` of the worker's.
  void run(double rate, double seconds, Point* point);
  /// Until every request has ended: answered, or given up at its deadline.
  bool drain();

  const kn::WorkerStats& stats() { return world_->worker().stats(); }
  client::Counters client_counters() const;

 private:
  bool make_ports(std::string* why);
  void turn();
  bool submit(bool write, uint32_t key);
  void on_completion(const client::Completion& c);

  const Options options_;
  const std::string value_;
  test::VirtualDevice near_device_;
  test::VirtualDevice far_device_;
  std::unique_ptr<ingress::Ingress> near_;
  std::unique_ptr<ingress::Ingress> far_;
  std::unique_ptr<test::EngineWorld> world_;
  std::vector<std::unique_ptr<client::IngressTransport>> transports_;
  std::vector<std::unique_ptr<client::Client>> clients_;
  // Between two turns of the worker others run on its core. How much of its caches they take must
  // not depend on how many requests the clients hold, so it is all.
  std::vector<std::byte> strange_;
  uint64_t in_flight_ = 0;
  uint64_t random_ = 88172645463325252;
  size_t next_ = 0;
  Point* point_ = nullptr;
};

std::unique_ptr<ingress::Ingress> open_port(const std::string& device, const char* address,
                                            uint16_t base_port, uint16_t ports, std::string* why) {
  ingress::Config config;
  config.port = device;
  config.addresses = {*ingress::parse_address(address)};
  config.base_port = base_port;
  config.workers = ports;
  config.queues = 1;  // the two ends have to have as many
  config.handover_slots = 8192;
  config.buffers = 16'383;
  config.large_datagrams = 16;
  auto opened = ingress::find_driver("ethdev")->open(config, why);
  if (!opened || !ok((*opened)->start(why))) return nullptr;
  return std::move(*opened);
}

bool Bench::make_ports(std::string* why) {
  const std::string common = ",id=0,socket=dinomo-overload-" + std::to_string(getpid());
  if (!near_device_.make("net_memif_near", "role=server" + common) ||
      !far_device_.make("net_memif_far", "role=client" + common)) {
    *why = "cannot make a memif pair (apt install librte-net-memif23)";
    return false;
  }
  near_ = open_port(near_device_.name(), "10.0.0.1/24", kServerPort, 1, why);
  if (!near_) return false;
  far_ = open_port(far_device_.name(), "10.0.0.9/24", 20'000, kClients, why);
  if (!far_) return false;
  for (int i = 0; i < 500 && !(near_->link_up() && far_->link_up()); ++i) usleep(10'000);
  if (near_->link_up() && far_->link_up()) return true;
  *why = "the memif pair does not connect";
  return false;
}

bool Bench::make(std::string* why) {
  if (!make_ports(why)) return false;
  test::EngineOptions engine;
  engine.port = &near_->queue(0);
  engine.turn_ns = 1000;  // until time is measured
  engine.pool_bytes = uint64_t{1} << 30;
  engine.segment_bytes = 4 << 20;
  engine.index_buckets = 1 << 15;
  engine.worker.cache.budget_bytes = uint64_t{64} << 20;
  engine.worker.session_window = 16'384;
  world_ = std::make_unique<test::EngineWorld>(engine);
  world_->wait_serving();
  const client::Address seed = *client::parse_address("10.0.0.1:11300", 1);
  for (uint16_t c = 0; c < kClients; ++c) {
    client::IngressTransport::Local local;
    local.address = *client::parse_address("10.0.0.9:" + std::to_string(20'000 + c), 1);
    local.next_hop_mac = near_->endpoint().mac;
    transports_.push_back(std::make_unique<client::IngressTransport>(&far_->queue(c), local));
    client::Options o;
    o.seed = c + 1U;
    o.pack_max = options_.pack;
    o.deadline_ms = 100;
    o.in_flight_max = kOpenInFlight / kClients;
    clients_.push_back(
        *client::Client::create(transports_.back().get(), &world_->clock, o, std::span(&seed, 1)));
  }
  return true;
}

/// The worker's turn is timed, nobody else's.
void Bench::turn() {
  test::ManualClock& clock = world_->clock;
  g_turn_began_ns = cpu_ns();
  clock.running_ns = turn_so_far_ns;
  world_->worker().poll();
  const uint64_t took_ns = turn_so_far_ns();
  clock.running_ns = nullptr;
  clock.now += took_ns;
  world_->control().poll();
  world_->service().poll();
  for (size_t i = 0; i < strange_.size(); i += kCacheLineBytes) strange_[i] ^= std::byte{1};
  for (const auto& c : clients_) c->poll();
}

void Bench::on_completion(const client::Completion& c) {
  --in_flight_;
  const bool put = c.opcode == wire::Opcode::kPut;
  if (!c.answered) {
    ++point_->given_up;
    if (put) ++point_->unknown_puts;
    return;
  }
  ++point_->answered;
  if (put) ++point_->acknowledged_puts;
  point_->latency.record(c.completed_ns - c.sent_ns);
}

bool Bench::submit(bool write, uint32_t key) {
  std::array<char, 16> name;
  const int bytes = std::snprintf(name.data(), name.size(), "key%010u", key);
  client::Operation op;
  op.opcode = write ? wire::Opcode::kPut : wire::Opcode::kGet;
  op.key = as_bytes(std::string_view(name.data(), static_cast<size_t>(bytes)));
  if (write) op.value = as_bytes(std::string_view(value_));
  op.context = this;
  op.callback = [](void* context, const client::Completion& c) {
    static_cast<Bench*>(context)->on_completion(c);
  };
  if (!ok(clients_[next_++ % clients_.size()]->submit(op))) return false;
  ++in_flight_;
  return true;
}

bool Bench::drain() {
  for (uint64_t turns = 0; in_flight_ != 0 && turns < kBarrenTurnsMax; ++turns) {
    world_->clock.now += 1000;
    turn();
  }
  return in_flight_ == 0;
}

bool Bench::load() {
  Point loaded;
  point_ = &loaded;
  for (uint32_t key = 0; key < kKeys;) {
    while (key < kKeys && in_flight_ < kClosedInFlight && submit(true, key)) ++key;
    turn();
  }
  return drain() && loaded.answered == kKeys;
}

void Bench::run(double rate, double seconds, Point* point) {
  Point& p = *point;
  p.offered = rate;
  point_ = point;
  const auto run_ns = static_cast<uint64_t>(seconds * 1e9);
  const uint64_t began_ns = world_->clock.now;
  uint64_t warm = 0;
  double due = 0;
  while (world_->clock.now - began_ns < run_ns) {
    const uint64_t before_ns = world_->clock.now;
    turn();
    const uint64_t passed_ns = world_->clock.now - before_ns;
    due = rate == 0 ? static_cast<double>(kClosedInFlight) - static_cast<double>(in_flight_)
                    : due + rate * static_cast<double>(passed_ns) / 1e9;
    for (; due >= 1; --due) {
      random_ ^= random_ << 13;
      random_ ^= random_ >> 7;
      random_ ^= random_ << 17;
      const bool write = (random_ >> 40) % 100 < options_.writes_percent;
      submit(write, static_cast<uint32_t>(random_ % kKeys)) ? ++p.submitted : ++p.no_place;
    }
    if (world_->clock.now - began_ns < run_ns / 3) warm = p.answered;
  }
  p.goodput = static_cast<double>(p.answered - warm) / (seconds * 2 / 3);
}

client::Counters Bench::client_counters() const {
  client::Counters sum;
  for (const auto& c : clients_) {
    sum.busy += c->counters().busy;
    sum.timeouts += c->counters().timeouts;
    sum.malformed += c->counters().malformed;
    sum.outcome_unknown += c->counters().outcome_unknown;
  }
  return sum;
}

/// What has to hold whatever the machine does. Prints what does not.
bool sound(Bench* bench, const Point& p, uint64_t puts) {
  const kn::WorkerStats& s = bench->stats();
  const auto expect = [](bool good, const char* what) {
    if (!good) std::fprintf(stderr, "overload_bench: %s\n", what);
    return good;
  };
  bool good =
      expect(p.answered + p.given_up == p.submitted, "a request did not end, or ended twice");
  good &= expect(puts >= p.acknowledged_puts && puts <= p.acknowledged_puts + p.unknown_puts,
                 "PUTs were carried out that nobody asked for, or answered and not carried out");
  good &= expect(s.queued_most.get() <= kn::Admission::kQueuedMax, "the queue has no bound");
  good &= expect(bench->client_counters().malformed == 0, "malformed replies");
  return good;
}

void print(const Point& p, double peak, const client::Counters& before,
           const client::Counters& after) {
  const double each = 1.0 / static_cast<double>(std::max<uint64_t>(p.answered, 1));
  std::printf("%10.2f %10.2f %8.0f%% %9.3f %9.3f %9.3f %9.0f %9.0f\n", p.offered / 1e6,
              p.goodput / 1e6, peak == 0 ? 100 : 100 * p.goodput / peak,
              static_cast<double>(after.busy - before.busy) * each,
              static_cast<double>(after.timeouts - before.timeouts) * each,
              static_cast<double>(p.given_up + p.no_place) * each,
              static_cast<double>(p.latency.percentile_ns(50)) / 1e3,
              static_cast<double>(p.latency.percentile_ns(99)) / 1e3);
}

bool measure(const Options& o) {
  Bench bench(o);
  std::string why;
  if (!bench.make(&why) || !bench.load()) {
    std::fprintf(stderr, "overload_bench: %s\n",
                 why.empty() ? "the load did not end" : why.c_str());
    return false;
  }
  Point warming;
  bench.run(0, o.seconds / 3, &warming);  // caches, branch predictors, the admission's averages
  if (!bench.drain()) return false;
  std::printf("%10s %10s %9s %9s %9s %9s %9s %9s\n", "offered M", "goodput M", "of peak", "refused",
              "repeated", "lost", "p50 us", "p99 us");
  nlohmann::json results = nlohmann::json::array();
  double peak = 0;
  double least = 1;
  bool good = true;
  std::vector<double> all{0};
  all.insert(all.end(), o.times.begin(), o.times.end());
  for (const double times : all) {
    const client::Counters before = bench.client_counters();
    const uint64_t puts_before = bench.stats().puts.get();
    Point p;
    bench.run(times * peak, o.seconds, &p);
    good &= bench.drain() && sound(&bench, p, bench.stats().puts.get() - puts_before);
    if (times == 0) peak = p.goodput;
    if (times >= 1) least = std::min(least, p.goodput / peak);
    const client::Counters after = bench.client_counters();
    print(p, times == 0 ? 0 : peak, before, after);
    results.push_back({{"times", times},
                       {"offered_ops_per_s", p.offered},
                       {"goodput_ops_per_s", p.goodput},
                       {"of_peak", p.goodput / peak},
                       {"refused", after.busy - before.busy},
                       {"repeated", after.timeouts - before.timeouts},
                       {"lost", p.given_up + p.no_place},
                       {"answered", p.answered},
                       {"p50_us", static_cast<double>(p.latency.percentile_ns(50)) / 1e3},
                       {"p99_us", static_cast<double>(p.latency.percentile_ns(99)) / 1e3}});
  }
  if (!o.json.empty()) {
    std::FILE* const f = std::fopen(o.json.c_str(), "w");
    if (f == nullptr) {
      std::fprintf(stderr, "overload_bench: cannot write %s\n", o.json.c_str());
      return false;
    }
    std::fputs((results.dump(2) + "\n").c_str(), f);
    std::fclose(f);
  }
  std::printf("least goodput from 1 x to 3 x: %.0f%% of the peak\n", 100 * least);
  return good && (o.smoke || o.no_judgement || least >= kGoodputLeast);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App cli{"Goodput of a worker beyond saturation, over memif, in the worker's own time"};
  cli.add_option("--seconds", options.seconds, "of the worker's time, each point");
  cli.add_option("--values", options.value_bytes, "bytes of a value")->check(CLI::Range(0, 1400));
  cli.add_option("--pack", options.pack, "operations in a datagram; 0: as many as fit");
  cli.add_option("--writes", options.writes_percent, "share of PUTs, the rest are GETs")
      ->check(CLI::Range(0, 100));
  cli.add_option("--times", options.times, "the peak is offered, after the closed loop");
  cli.add_option("--strange-kb", options.strange_kb, "of cache that others use between two turns");
  cli.add_option("--json", options.json, "file to write the results to");
  cli.add_flag("--no-judgement", options.no_judgement, "goodput may be below 80 % of the peak");
  cli.add_flag("--smoke", options.smoke, "smallest size: what must hold at any speed");
  CLI11_PARSE(cli, argc, argv);
  if (options.smoke) options.seconds = 0.02;
  if (!test::start_eal()) return 1;
  const bool good = measure(options);
  rte_eal_cleanup();
  return good ? 0 : 1;
}
