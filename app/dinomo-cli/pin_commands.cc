// SPDX-License-Identifier: BSD-3-Clause
// `dinomo-cli cluster pin|unpin|pinned`.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <iostream>
#include <thread>

#include "cluster_commands.h"
#include "cluster_view.h"

namespace dinomo::cli {

namespace {

using Steady = std::chrono::steady_clock;

struct Partitions {
  uint32_t first = 0;
  uint32_t last = 0;

  uint32_t count() const { return last - first + 1; }
  std::string text() const {
    return count() == 1 ? fmt::format("partition {}", first)
                        : fmt::format("partitions {}-{}", first, last);
  }
};

/// PARTITION or PARTITION-PARTITION
std::optional<Partitions> parse_partitions(std::string_view text) {
  const size_t dash = text.find('-');
  Partitions p;
  const auto number = [](std::string_view from, uint32_t* to) {
    const auto [end, error] = std::from_chars(from.data(), from.data() + from.size(), *to);
    return error == std::errc() && end == from.data() + from.size() && *to < kPartitionsInRing;
  };
  if (!number(text.substr(0, dash), &p.first)) return std::nullopt;
  p.last = p.first;
  if (dash != std::string_view::npos && !number(text.substr(dash + 1), &p.last)) {
    return std::nullopt;
  }
  return p.first <= p.last ? std::optional(p) : std::nullopt;
}

/// How many of them the ring does not have as it is wanted.
uint32_t behind(const RingTable& ring, Partitions partitions, std::optional<uint32_t> slot) {
  uint32_t count = 0;
  for (uint32_t p = partitions.first; p <= partitions.last; ++p) {
    const bool pinned = std::ranges::binary_search(ring.pinned, p);
    const bool moving = std::ranges::binary_search(ring.moving, p);
    const bool there = !slot || ring.owner[p] == *slot;
    count += pinned != slot.has_value() || moving || !there ? 1 : 0;
  }
  return count;
}

std::string waits_for(const Cluster& cluster, std::optional<uint32_t> slot, uint32_t behind) {
  if (slot) {
    const Kn kn = cluster.kn(*slot);
    if (kn.wanted != "serving") return fmt::format("`cluster add {}`: it is {}", *slot, kn.wanted);
    if (!kn.active) return fmt::format("a dinomo-kn with --kn-slot {}", *slot);
  }
  if (!cluster.led) return "a KN that leads; a ring that is fixed has none";
  return fmt::format("the leader to see to {} partitions", behind);
}

int tell_done(const Settings& s, Partitions partitions, std::optional<uint32_t> slot,
              Steady::duration waited) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
  if (s.json_output) {
    json out = {{"status", "ok"},
                {"first", partitions.first},
                {"count", partitions.count()},
                {"kn_slot", nullptr},
                {"waited_ms", ms}};
    if (slot) out["kn_slot"] = *slot;
    std::cout << out.dump() << '\n';
  } else if (slot) {
    std::cout << fmt::format("{} pinned, at KN slot {} ({} ms)\n", partitions.text(), *slot, ms);
  } else {
    std::cout << fmt::format("{} not pinned ({} ms)\n", partitions.text(), ms);
  }
  return kOk;
}

/// Looks until the ring is as wanted; says what it waits for whenever that changes.
int wait_until(const Settings& s, ControlSocket& dpm, Partitions partitions,
               std::optional<uint32_t> slot) {
  const auto began = Steady::now();
  std::string said;
  for (;;) {
    const auto cluster = look(dpm);
    const auto ring = look_at_ring(dpm);
    if (!cluster || !ring) return no_answer();
    const uint32_t missing = behind(*ring, partitions, slot);
    const auto waited = Steady::now() - began;
    if (missing == 0) return tell_done(s, partitions, slot, waited);
    const std::string waits = waits_for(*cluster, slot, missing);
    if (waited >= std::chrono::seconds(s.wait_s)) return still_waits(s, waits);
    if (waits != said) std::cerr << "waiting for " << waits << '\n';
    said = waits;
    std::this_thread::sleep_for(kLookEvery);
  }
}

/// `slot`: none to unpin.
int ask_for(const Settings& s, std::optional<uint32_t> slot) {
  const auto partitions = parse_partitions(s.partitions);
  if (!partitions) {
    return complain(kUsage, fmt::format("{}: a partition from 0 to {}, or two with a dash between",
                                        s.partitions, kPartitionsInRing - 1));
  }
  ControlSocket dpm;
  if (const int status = dpm.open(s.control); status != kOk) return status;
  const std::string which = fmt::format("{}:{}", partitions->first, partitions->count());
  const auto answer = slot ? dpm.ask("/dinomo/pin", fmt::format("{}:{}", which, *slot))
                           : dpm.ask("/dinomo/unpin", which);
  if (!answer.is_object()) return no_answer();
  if (!answer.value("done", false)) return complain(kRefused, answer.value("why", "refused"));
  return wait_until(s, dpm, *partitions, slot);
}

}  // namespace

int run_cluster_pin(const Settings& s) { return ask_for(s, s.kn_slot); }
int run_cluster_unpin(const Settings& s) { return ask_for(s, std::nullopt); }

int run_cluster_pinned(const Settings& s) {
  ControlSocket dpm;
  if (const int status = dpm.open(s.control); status != kOk) return status;
  const auto pins = look_at_pins(dpm);
  const auto ring = look_at_ring(dpm);
  if (!pins || !ring) return no_answer();
  json all = json::array();
  std::string text;
  for (const Pin& pin : *pins) {
    const Partitions partitions{pin.first, pin.first + pin.count - 1};
    const uint32_t elsewhere = behind(*ring, partitions, pin.kn_slot);
    all.push_back({{"first", pin.first},
                   {"count", pin.count},
                   {"kn_slot", pin.kn_slot},
                   {"elsewhere", elsewhere}});
    text += fmt::format("{}: KN slot {}{}\n", partitions.text(), pin.kn_slot,
                        elsewhere == 0 ? "" : fmt::format(", {} not there now", elsewhere));
  }
  if (s.json_output) {
    std::cout << json{{"status", "ok"}, {"pins", std::move(all)}}.dump() << '\n';
  } else {
    std::cout << (text.empty() ? "no partition is pinned\n" : text);
  }
  return kOk;
}

}  // namespace dinomo::cli
