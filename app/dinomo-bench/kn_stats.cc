// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/kn_stats.h"

namespace dinomo::bench {

namespace {

constexpr const char* kGauges = "gauges";

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
    if (name == kGauges) {
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

json kn_summary(const json& delta) {
  if (!delta.is_object()) return {};
  json out = json::object();
  const double found = number(delta, "value_hits") + number(delta, "shortcut_hits") +
                       number(delta, "misses") + number(delta, "absent");
  // Outcome of a GET, the counter of its kind, the name of its round trips.
  struct Kind {
    const char* counter;
    const char* round_trips;
  };
  constexpr Kind kKinds[] = {{"value_hits", "value_hit"},
                             {"shortcut_hits", "shortcut_hit"},
                             {"misses", "miss"},
                             {"absent", "absent"},
                             {"puts", "put"}};
  const json round_trips = delta.value("round_trips", json::object());
  for (const Kind& kind : kKinds) {
    const double count = number(delta, kind.counter);
    const bool of_get = std::string_view(kind.round_trips) != "put";
    if (of_get && found > 0 && delta.contains(kind.counter)) {
      out["share"][kind.round_trips] = count / found;
    }
    if (count > 0 && round_trips.contains(kind.round_trips)) {
      out["round_trips_per_op"][kind.round_trips] = number(round_trips, kind.round_trips) / count;
    }
  }
  const double ops = number(delta, "ops");
  double all = 0;
  for (const auto& [name, value] : round_trips.items()) {
    if (value.is_number()) all += value.get<double>();
  }
  if (ops > 0 && !round_trips.empty()) out["round_trips_per_op"]["all"] = all / ops;
  if (number(delta, "commits") > 0) {
    out["entries_per_commit"] = number(delta, "entries") / number(delta, "commits");
  }
  if (number(delta, "datagrams_in") > 0) {
    out["ops_per_datagram"] = ops / number(delta, "datagrams_in");
  }
  if (ops > 0 && delta.contains("busy_ns")) out["busy_ns_per_op"] = number(delta, "busy_ns") / ops;
  const json gauges = delta.value(kGauges, json::object());
  for (const auto& [name, value] : gauges.items()) {
    if (name.starts_with("merge_lag")) out[name] = value;
  }
  return out;
}

}  // namespace dinomo::bench
