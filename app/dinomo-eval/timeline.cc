// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-eval/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "app/dinomo-eval/dinomo/cluster.h"
#include "app/dinomo-eval/mover.h"
#include "app/dinomo-eval/setup.h"
#include "app/dinomo-eval/traffic.h"
#include "common/hash.h"
#include "ring/placement.h"

namespace dinomo::eval {

namespace {

using nlohmann::ordered_json;

constexpr uint64_t kPatienceNs = 60'000'000'000;  // virtual, for any change
constexpr uint64_t kLookNs = 20'000;              // how often a change is looked for
constexpr uint32_t kKnsFirst = 4;                 // as the published system was limited to 4 to 6
constexpr uint32_t kKnsMax = 8;
constexpr uint64_t kBinsBefore = 10;  // what a change is compared with

enum class Action : uint8_t { kClients, kAddKn, kRemoveKn, kKillKn, kEnd };

struct Scripted {
  uint64_t at_s;
  Action action;
  uint32_t clients = 0;
};

/// The published experiment; the KN is removed 20 s after the load has gone down.
constexpr Scripted kElasticity[] = {
    {0, Action::kClients, 1}, {20, Action::kClients, kClientNodes}, {40, Action::kAddKn},
    {140, Action::kAddKn},    {230, Action::kClients, 1},           {250, Action::kRemoveKn},
    {300, Action::kEnd},
};
constexpr Scripted kFailure[] = {
    {0, Action::kClients, kClientNodes}, {20, Action::kKillKn}, {100, Action::kEnd}};

constexpr const char* kScripts[] = {"elasticity", "failure"};

std::span<const Scripted> script_of(const std::string& name) {
  return name == kScripts[0] ? std::span<const Scripted>(kElasticity) : kFailure;
}

class Director {
 public:
  Director(const Calibration& calibration, const Timeline& timeline)
      : c_(calibration),
        timeline_(timeline),
        environment_(timeline.seed),
        traffic_(&environment_.loop, traffic()),
        cluster_(prepared(), c_,
                 {.kns = kKnsFirst,
                  .kns_max = kKnsMax,
                  .ownership = Ownership::kElastic,
                  .seed = timeline.seed}) {}

  Status run(ordered_json* result, std::string* why);

 private:
  /// What a change of KNs has cost.
  struct Cost {
    uint64_t keys = 0;
    uint64_t bytes = 0;
    uint64_t blocked_ns = 0;
    uint64_t moving_ns = 0;  // of it: without waiting for the ring to change
  };

  TrafficConfig traffic() const {
    return {.keys = c_.scaled_keys(),
            .zipf = static_cast<double>(c_.zipf_percent) / 100,
            .clients = kClientNodes,
            .bin_ns = timeline_.second_us * 1000,
            .seed = timeline_.seed,
            .history = timeline_.history};
  }
  world::Environment* prepared() {
    environment_.fabric.set_faults(fabric_of(c_));
    return &environment_;
  }
  uint64_t now_ns() const noexcept { return environment_.loop.now_ns(); }
  bool wait(const std::function<bool()>& what);
  void turn_on(uint32_t clients) {
    traffic_.turn_on(clients);
    cluster_.wake_clients();
  }
  bool prepare();
  bool act(const Scripted& step);
  bool change(const Scripted& step);
  bool reorganise(const std::vector<uint64_t>& keys, const std::function<bool()>& take_over,
                  Cost* cost);
  ring::Owners targets(const std::vector<uint16_t>& kns) const;
  bool settled(const ring::Owners& owners) const;
  std::vector<uint64_t> changing(const ring::Owners& before, const ring::Owners& after) const;
  bool give_up(const std::string& text) {
    broken_ = text;
    return false;
  }
  ordered_json document();
  /// What the time since the last event was like; closes its entry.
  void look_back();

  const Calibration& c_;
  const Timeline& timeline_;
  world::Environment environment_;
  Traffic traffic_;
  DinomoCluster cluster_;
  Mover mover_;
  std::vector<uint16_t> kns_;  // by slot, those that are members
  uint64_t from_ns_ = 0;
  ordered_json events_ = ordered_json::array();
  uint64_t event_bin_ = 0;
  std::string broken_;
};

bool Director::wait(const std::function<bool()>& what) {
  const uint64_t end_ns = now_ns() + kPatienceNs;
  while (!what()) {
    if (now_ns() >= end_ns) return false;
    environment_.loop.run_until(now_ns() + kLookNs);
  }
  return true;
}

ring::Owners Director::targets(const std::vector<uint16_t>& kns) const {
  std::vector<ring::Member> members;
  members.reserve(kns.size());
  for (const uint16_t slot : kns) members.push_back({.kn_slot = slot});
  ring::Owners unpinned;
  unpinned.fill(pool::kNoOwner);
  return ring::place(members, unpinned);
}

bool Director::settled(const ring::Owners& owners) const {
  const ring::Ring ring = cluster_.ring();
  return ring.version != 0 && ring.moving.none() && ring.owner == owners;
}

std::vector<uint64_t> Director::changing(const ring::Owners& before,
                                         const ring::Owners& after) const {
  std::vector<uint64_t> keys;
  for (uint64_t key = 0; key < c_.scaled_keys(); ++key) {
    const uint32_t p = partition_of(routing_hash(object_bytes(key)));
    if (before[p] != after[p]) keys.push_back(key);
  }
  return keys;
}

/// All KNs in, all keys loaded, caches warm.
bool Director::prepare() {
  for (uint16_t k = 0; k < kKnsFirst; ++k) kns_.push_back(k);
  const ring::Owners owners = targets(kns_);
  if (!wait([&] { return settled(owners); })) return give_up("the KNs did not divide the ring");
  const auto in_flight = static_cast<uint32_t>(c_.depth);
  const uint32_t depth = std::max<uint32_t>(in_flight / kClientNodes, 1);
  for (uint32_t n = 0; n < kClientNodes; ++n) cluster_.add_client(depth, traffic_.source(n));
  if (timeline_.moves_data) cluster_.add_client(in_flight, &mover_);
  turn_on(kClientNodes);
  const uint64_t warm = c_.scaled_keys() * (1 + c_.warm_per_key);
  if (!wait([&] { return traffic_.done() >= warm; })) return give_up("the keys were not loaded");
  traffic_.turn_on(0);
  if (!wait([&] { return traffic_.in_flight() == 0; })) return give_up("clients did not end");
  return true;
}

/// Nobody is served: every KN that gives or takes stands still in the published system, which is
/// all of them. What the old owners have is read through them, and written through the new ones.
bool Director::reorganise(const std::vector<uint64_t>& keys, const std::function<bool()>& take_over,
                          Cost* cost) {
  const uint64_t begin_ns = now_ns();
  traffic_.turn_on(0);
  if (!wait([&] { return traffic_.in_flight() == 0; })) return give_up("clients did not pause");
  mover_.read(keys);
  cluster_.wake_clients();
  const uint64_t read_from_ns = now_ns();
  if (!wait([&] { return mover_.finished(); })) return give_up("data was not read");
  cost->moving_ns = now_ns() - read_from_ns;
  if (!take_over()) return false;
  mover_.write();
  cluster_.wake_clients();
  const uint64_t write_from_ns = now_ns();
  if (!wait([&] { return mover_.finished(); })) return give_up("data was not written");
  cost->moving_ns += now_ns() - write_from_ns;
  cost->keys = keys.size();
  // Through the fabric to the old owner, from it to the new one, through the fabric again.
  cost->bytes = keys.size() * c_.value_bytes;
  cost->blocked_ns = now_ns() - begin_ns;
  return mover_.failed() == 0 || give_up("data was lost on the way");
}

bool Director::change(const Scripted& step) {
  const ring::Owners before = cluster_.ring().owner;
  std::vector<uint16_t> members = kns_;
  uint16_t slot = members.back();
  if (step.action == Action::kAddKn) {
    slot = cluster_.next_slot();
    members.push_back(slot);
  } else {
    members.pop_back();
  }
  const ring::Owners after = targets(members);
  const auto take_over = [&] {
    if (step.action == Action::kAddKn) cluster_.add_kn();
    if (step.action == Action::kRemoveKn) cluster_.drain_kn(slot);
    if (step.action == Action::kKillKn) cluster_.kill_kn(slot);
    if (wait([&] { return settled(after); })) return true;
    return give_up("partitions did not change hands");
  };
  const uint64_t begin_ns = now_ns();
  const std::vector<uint64_t> keys = changing(before, after);
  Cost cost;
  const bool kill = step.action == Action::kKillKn;
  const uint32_t clients = traffic_.clients_on();
  if (!timeline_.moves_data) {
    if (!take_over()) return false;
  } else if (kill) {
    // What the dead KN had lies in its log and its index: whoever takes over reads it from there.
    if (!take_over() || !reorganise(keys, [] { return true; }, &cost)) return false;
  } else if (!reorganise(keys, take_over, &cost)) {
    return false;
  }
  turn_on(clients);
  if (step.action == Action::kRemoveKn) cluster_.kill_kn(slot);
  kns_ = members;
  ordered_json& e = events_.back();
  e["took_us"] = (now_ns() - begin_ns) / 1000;
  e["keys_changing"] = keys.size();
  e["keys_moved"] = cost.keys;
  e["bytes_moved"] = cost.bytes;
  e["blocked_us"] = cost.blocked_ns / 1000;
  e["moving_us"] = cost.moving_ns / 1000;
  return true;
}

void Director::look_back() {
  if (events_.empty()) return;
  events_.back()["silence_us"] = traffic_.take_silence_ns() / 1000;
  const std::vector<uint64_t>& bins = traffic_.bins();
  const uint64_t first = event_bin_ - std::min(event_bin_, kBinsBefore);
  uint64_t before = 0;
  for (uint64_t b = first; b < event_bin_; ++b) before += bins[b];
  if (event_bin_ == first) return;
  before /= event_bin_ - first;
  uint64_t empty = 0;
  uint64_t half = 0;
  for (uint64_t b = event_bin_ + 1; b + 1 < bins.size(); ++b) {
    empty += bins[b] == 0 ? 1 : 0;
    half += bins[b] < before / 2 ? 1 : 0;
  }
  events_.back()["bins_at_zero"] = empty;
  events_.back()["bins_below_half"] = half;
}

bool Director::act(const Scripted& step) {
  const uint64_t second_ns = timeline_.second_us * 1000;
  environment_.loop.run_until(from_ns_ + step.at_s * second_ns);
  look_back();
  if (step.action == Action::kEnd) return true;
  traffic_.take_silence_ns();
  event_bin_ = (now_ns() - from_ns_) / second_ns;
  constexpr const char* kWords[] = {"clients", "add KN", "remove KN", "kill KN"};
  ordered_json e;
  e["at_s"] = static_cast<double>(now_ns() - from_ns_) / static_cast<double>(second_ns);
  e["what"] = kWords[static_cast<size_t>(step.action)];
  if (step.action == Action::kClients) e["clients"] = step.clients;
  events_.push_back(std::move(e));
  if (step.action == Action::kClients) {
    turn_on(step.clients);
    return true;
  }
  return change(step);
}

ordered_json Director::document() {
  ordered_json j;
  j["engine"] = timeline_.moves_data ? "dinomo-n" : "dinomo";
  j["script"] = timeline_.script;
  j["scale"] = c_.scale;
  j["second_us"] = timeline_.second_us;
  j["kns_first"] = kKnsFirst;
  j["events"] = events_;
  std::vector<double> mops;
  const std::vector<uint64_t>& bins = traffic_.bins();
  for (size_t b = 0; b + 1 < bins.size(); ++b) {  // the last one is not whole
    mops.push_back(static_cast<double>(bins[b]) / static_cast<double>(timeline_.second_us));
  }
  j["mops_per_s"] = mops;
  return j;
}

Status Director::run(ordered_json* result, std::string* why) {
  *why = cluster_.broken();
  if (!why->empty()) return Status::kInvalid;
  bool whole = prepare();
  from_ns_ = now_ns();
  traffic_.start_bins();
  for (const Scripted& step : script_of(timeline_.script)) whole = whole && act(step);
  if (whole) *result = document();
  // What is under way belongs to the history.
  turn_on(0);
  whole = whole && wait([&] { return traffic_.in_flight() == 0; });
  if (whole && traffic_.failed() != 0) {
    broken_ = fmt::format("{} operations failed, the first with {}", traffic_.failed(),
                          status_name(traffic_.first_failure()));
  }
  *why = broken_;
  if (why->empty() && !whole) *why = "operations did not end";
  return why->empty() ? Status::kOk : Status::kInternal;
}

}  // namespace

std::span<const char* const> script_names() noexcept { return kScripts; }

Status run_timeline(const Calibration& calibration, const Timeline& timeline,
                    nlohmann::ordered_json* result, std::string* why) {
  const auto known = [&](const char* name) { return timeline.script == name; };
  if (std::ranges::none_of(kScripts, known)) {
    *why = fmt::format("there is no script '{}': give one of {}", timeline.script,
                       fmt::join(kScripts, ", "));
    return Status::kInvalid;
  }
  return Director(calibration, timeline).run(result, why);
}

}  // namespace dinomo::eval
