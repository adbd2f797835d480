// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/kn_stats.h"

#include <algorithm>
#include <string_view>

namespace dinomo::bench {

namespace {

// Levels, which a difference would turn into nonsense; everything else only grows.
bool is_level(std::string_view name) {
  constexpr std::string_view kLevels[] = {"workers",
                                          "unmerged_entries",
                                          "unmerged_segments",
                                          "cache_values",
                                          "cache_shortcuts",
                                          "cache_used_bytes",
                                          "cache_budget_bytes",
                                          "average_miss_millirt",
                                          "half_cache_millirt",
                                          "same_cache_millirt",
                                          "twice_cache_millirt"};
  return std::ranges::find(kLevels, name) != std::end(kLevels) || name.starts_with("merge_lag");
}

void add(json* sum, const json& more) {
  for (const auto& [name, value] : more.items()) {
    if (value.is_object()) {
      if (!sum->contains(name)) (*sum)[name] = json::object();
      add(&(*sum)[name], value);
    } else if (value.is_number_integer()) {
      (*sum)[name] = sum->value(name, int64_t{0}) + value.get<int64_t>();
    } else if (value.is_number()) {
      (*sum)[name] = sum->value(name, 0.0) + value.get<double>();
    }
  }
}

json difference(const json& before, const json& after) {
  json out = json::object();
  for (const auto& [name, value] : after.items()) {
    const json old = before.contains(name) ? before[name] : json();
    if (is_level(name)) {
      out[name] = value;
    } else if (value.is_object()) {
      out[name] = difference(old.is_object() ? old : json::object(), value);
    } else if (value.is_number_integer()) {
      out[name] = value.get<int64_t>() - (old.is_number() ? old.get<int64_t>() : 0);
    } else {
      out[name] = value.get<double>() - (old.is_number() ? old.get<double>() : 0.0);
    }
  }
  return out;
}

double number(const json& from, const char* name) {
  const auto found = from.find(name);
  return found != from.end() && found->is_number() ? found->get<double>() : 0.0;
}

}  // namespace

json fetch_kn_stats(client::Client* client) {
  client::Blocking blocking(client);
  json sum = json::object();
  for (const wire::KnRecord& kn : client->ring().kns) {
    const client::Reply reply = blocking.stats(kn.kn_slot);
    if (reply.status != Status::kOk) return {};
    const json stats = json::parse(reply.text(), nullptr, false);
    if (!stats.is_object()) return {};
    add(&sum, stats);
  }
  return sum;
}

json kn_stats_delta(const json& before, const json& after) {
  if (!before.is_object() || !after.is_object()) return {};
  return difference(before, after);
}

namespace {

// Outcomes of a GET: the counter of each, the counter of its round trips, the name in the summary.
struct Outcome {
  const char* counter;
  const char* round_trips;
  const char* name;
};
constexpr Outcome kOutcomes[] = {{"value_hits", nullptr, "value_hit"},
                                 {"unmerged_hits", "unmerged_rts", "unmerged_hit"},
                                 {"shortcut_hits", "shortcut_rts", "shortcut_hit"},
                                 {"misses", "miss_rts", "miss"},
                                 {"absent", "absent_rts", "absent"}};

void summarise_reads(const json& delta, json* out) {
  double found = 0;
  for (const Outcome& o : kOutcomes) found += number(delta, o.counter);
  for (const Outcome& o : kOutcomes) {
    const double count = number(delta, o.counter);
    if (found > 0 && delta.contains(o.counter)) (*out)["share"][o.name] = count / found;
    if (count > 0 && o.round_trips != nullptr && delta.contains(o.round_trips)) {
      (*out)["round_trips_per_op"][o.name] = number(delta, o.round_trips) / count;
    }
  }
}

}  // namespace

json kn_summary(const json& delta) {
  if (!delta.is_object()) return {};
  json out = json::object();
  summarise_reads(delta, &out);
  const double requests = number(delta, "requests");
  double all = 0;
  const json round_trips = delta.value("round_trips", json::object());
  for (const auto& [purpose, value] : round_trips.items()) {
    if (!value.is_number()) continue;
    all += value.get<double>();
    if (value.get<double>() > 0) out["round_trips"][purpose] = value;
  }
  if (requests > 0 && !round_trips.empty()) out["round_trips_per_op"]["all"] = all / requests;
  const double commits = number(delta, "commits");
  const double entries = number(delta, "entries");
  if (commits > 0) out["entries_per_commit"] = entries / commits;
  if (entries > 0 && round_trips.contains("log")) {
    out["round_trips_per_op"]["put"] = number(round_trips, "log") / entries;
  }
  if (number(delta, "datagrams_in") > 0) {
    out["requests_per_datagram"] = requests / number(delta, "datagrams_in");
  }
  if (requests > 0 && delta.contains("busy_ns")) {
    out["busy_ns_per_request"] = number(delta, "busy_ns") / requests;
  }
  for (const char* const level : {"unmerged_entries", "unmerged_segments", "cache_values",
                                  "cache_shortcuts", "cache_used_bytes", "cache_budget_bytes"}) {
    if (delta.contains(level)) out[level] = delta[level];
  }
  for (const auto& [name, value] : delta.items()) {
    if (name.starts_with("merge_lag")) out[name] = value;
  }
  return out;
}

}  // namespace dinomo::bench
