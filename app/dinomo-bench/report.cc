// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/report.h"

#include <fmt/format.h>

#include <cmath>

namespace dinomo::bench {

namespace {

constexpr double kPercents[] = {50, 90, 99, 99.9, 99.99};

std::string grouped(uint64_t n) {  // 1 234 567
  std::string digits = std::to_string(n);
  for (auto at = static_cast<ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), " ");
  }
  return digits;
}

double per_second(uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

uint64_t rounded(double d) { return static_cast<uint64_t>(std::llround(d)); }

double ratio(uint64_t a, uint64_t b) {
  return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

std::string micros(uint64_t ns) { return fmt::format("{:>9.1f}", static_cast<double>(ns) / 1e3); }

std::string latency_row(const std::string& name, const std::string& rate,
                        const telemetry::LatencyHistogram& h) {
  return fmt::format("  {:<18}{:>12}{:>9.1f}{}{}{}{}{}\n", name, rate, h.mean_ns() / 1e3,
                     micros(h.percentile_ns(50)), micros(h.percentile_ns(90)),
                     micros(h.percentile_ns(99)), micros(h.percentile_ns(99.9)),
                     micros(h.max_ns()));
}

std::string latency_table(const PhaseResult& r) {
  std::string out = fmt::format("  {:<18}{:>12}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n", "latency in us",
                                "ops/s", "mean", "p50", "p90", "p99", "p99.9", "max");
  for (size_t i = 0; i < kOpKinds; ++i) {
    const KindTally& kind = r.tally.kinds[i];
    if (kind.service.count() == 0) continue;
    const char* const name = op_kind_name(static_cast<OpKind>(i));
    const auto rate = rounded(per_second(kind.done, r.seconds));
    out += latency_row(name, grouped(rate), kind.service);
    if (kind.corrected.count() != 0) out += latency_row("  from due time", "", kind.corrected);
  }
  return out;
}

std::string kn_table(const json& delta) {
  if (!delta.is_object()) return "  KN counters       not available\n";
  const json summary = kn_summary(delta);
  std::string out;
  const auto item = [&](const char* name, const json& from, const char* field, double scale,
                        const char* format) {
    if (!from.contains(field) || !from[field].is_number()) return;
    out += fmt::format("{}{} ", out.empty() ? "" : "  ", name) +
           fmt::format(fmt::runtime(format), from[field].get<double>() * scale);
  };
  std::string text;
  const auto line = [&](const char* title) {
    if (!out.empty()) text += fmt::format("  {:<18}{}\n", title, out);
    out.clear();
  };
  constexpr struct {
    const char* field;
    const char* title;
  } kOutcomes[] = {{"value_hit", "value hit"},
                   {"unmerged_hit", "unmerged hit"},
                   {"shortcut_hit", "shortcut hit"},
                   {"miss", "miss"},
                   {"absent", "absent"},
                   {"put", "put"},
                   {"all", "all requests"}};
  const json share = summary.value("share", json::object());
  for (const auto& o : kOutcomes) item(o.title, share, o.field, 100, "{:.1f} %");
  line("KN reads");
  const json rts = summary.value("round_trips_per_op", json::object());
  for (const auto& o : kOutcomes) item(o.title, rts, o.field, 1, "{:.3f}");
  line("KN round trips/op");
  item("entries per commit", summary, "entries_per_commit", 1, "{:.1f}");
  item("requests per datagram", summary, "requests_per_datagram", 1, "{:.1f}");
  item("busy", summary, "busy_ns_per_request", 1, "{:.0f} ns/request");
  line("KN work");
  item("entries to merge", summary, "unmerged_entries", 1, "{:.0f}");
  item("segments to merge", summary, "unmerged_segments", 1, "{:.0f}");
  for (const auto& [name, value] : summary.items()) {
    if (name.starts_with("merge_lag")) item(name.c_str(), summary, name.c_str(), 1, "{:.0f}");
  }
  line("KN at the end");
  item("values", summary, "cache_values", 1, "{:.0f}");
  item("shortcuts", summary, "cache_shortcuts", 1, "{:.0f}");
  item("used", summary, "cache_used_bytes", 1e-6, "{:.1f} MB");
  item("of", summary, "cache_budget_bytes", 1e-6, "{:.1f} MB");
  line("KN cache");
  return text;
}

std::string trouble(const Settings& s, const PhaseResult& r) {
  const Tally& t = r.tally;
  const client::Counters& c = t.client;
  std::string out;
  if (t.refused != 0) {
    out += fmt::format("  REFUSED           {} operations:", grouped(t.refused));
    for (size_t i = 0; i < t.refused_by_status.size(); ++i) {
      if (t.refused_by_status[i] == 0) continue;
      out += fmt::format(" {} {}", wire::status_name(static_cast<wire::Status>(i)),
                         grouped(t.refused_by_status[i]));
    }
    out += '\n';
  }
  if (t.lost != 0) {
    out += fmt::format(
        "  LOST              {} requests got no answer within {} ms{}\n", grouped(t.lost),
        s.timeout_ms,
        t.unknown != 0 ? fmt::format(" ({} because the session was lost)", t.unknown) : "");
  }
  if (t.wrong.total() != 0) {
    out += fmt::format(
        "  WRONG             {} corrupt, {} of another key, {} stale, {} never written, "
        "{} missing\n",
        t.wrong.corrupt, t.wrong.foreign, t.wrong.stale, t.wrong.future, t.wrong.missing);
  }
  for (const std::string& complaint : r.complaints) out += "    " + complaint + '\n';
  if (c.timeouts + c.late_replies + c.busy + c.moving + c.wrong_owner + c.no_session != 0) {
    out += fmt::format(
        "  retries           {} after time-out, {} busy, {} moving, {} wrong owner, {} "
        "no session; {} replies came late or twice\n",
        c.timeouts, c.busy, c.moving, c.wrong_owner, c.no_session, c.late_replies);
  }
  return out;
}

json histogram_json(const telemetry::LatencyHistogram& h) {
  json out = {{"count", h.count()},
              {"mean_us", h.mean_ns() / 1e3},
              {"min_us", static_cast<double>(h.min_ns()) / 1e3}};
  for (const double p : kPercents) {
    out[fmt::format("p{:g}_us", p)] = static_cast<double>(h.percentile_ns(p)) / 1e3;
  }
  out["max_us"] = static_cast<double>(h.max_ns()) / 1e3;
  json buckets = json::array();
  h.for_each_bucket([&](uint64_t first, uint64_t last, uint64_t count) {
    buckets.push_back({first, last, count});
  });
  out["histogram_ns"] = std::move(buckets);  // [first, last, count]
  return out;
}

json client_json(const client::Counters& c) {
  return {{"transmissions", c.transmissions},
          {"timeouts", c.timeouts},
          {"busy", c.busy},
          {"moving", c.moving},
          {"wrong_owner", c.wrong_owner},
          {"no_session", c.no_session},
          {"followed", c.followed},
          {"late_replies", c.late_replies},
          {"malformed", c.malformed},
          {"hellos", c.hellos},
          {"sessions", c.sessions},
          {"ring_fetches", c.ring_fetches},
          {"datagrams_out", c.datagrams_out},
          {"datagrams_in", c.datagrams_in}};
}

json config_json(const Settings& s, const std::string& port) {
  const Mix& m = s.workload.mix;
  return {{"server", s.server},
          {"port", port},
          {"phase", s.phase},
          {"workload", s.workload_name},
          {"mix", {{"read", m.read}, {"update", m.update}, {"insert", m.insert}, {"rmw", m.rmw}}},
          {"distribution", distribution_name(s.workload.distribution)},
          {"theta", s.theta},
          {"keys", s.keys},
          {"key_bytes", s.key_bytes},
          {"value_bytes", {s.value_bytes.min, s.value_bytes.max}},
          {"threads", s.threads},
          {"window", s.window},
          {"loop", s.rate > 0 ? "open" : "closed"},
          {"rate", s.rate},
          {"arrival", s.rate > 0 ? (s.poisson ? "poisson" : "even") : "none"},
          {"seconds", s.seconds},
          {"ops", s.ops},
          {"warmup_seconds", s.warmup_seconds},
          {"pack", s.pack},
          {"timeout_ms", s.timeout_ms},
          {"spin_us", s.spin_us},
          {"verify", s.verify},
          {"seed", s.seed}};
}

json phase_json(const Settings& s, const PhaseResult& r) {
  const Tally& t = r.tally;
  json out = {{"phase", r.name},
              {"seconds", r.seconds},
              {"interrupted", r.interrupted},
              {"ops", r.operations()},
              {"ops_per_s", per_second(r.operations(), r.seconds)},
              {"value_bytes_per_s", per_second(t.value_bytes, r.seconds)},
              {"client_cpu_ns_per_request", ratio(t.cpu_ns, t.requests)},
              {"requests_per_datagram", ratio(t.client.transmissions, t.client.datagrams_out)}};
  json kinds = json::object();
  for (size_t i = 0; i < kOpKinds; ++i) {
    const KindTally& kind = t.kinds[i];
    if (kind.service.count() == 0) continue;
    json& entry = kinds[op_kind_name(static_cast<OpKind>(i))];
    entry["ops"] = kind.done;
    entry["ops_per_s"] = per_second(kind.done, r.seconds);
    entry["latency"] = histogram_json(kind.service);
    if (kind.corrected.count() != 0)
      entry["latency_from_due_time"] = histogram_json(kind.corrected);
  }
  out["kinds"] = std::move(kinds);
  json refused = json::object();
  for (size_t i = 0; i < t.refused_by_status.size(); ++i) {
    if (t.refused_by_status[i] != 0) {
      refused[wire::status_name(static_cast<wire::Status>(i))] = t.refused_by_status[i];
    }
  }
  out["counts"] = {
      {"verified", t.verified},       {"wrong", t.wrong.total()}, {"corrupt", t.wrong.corrupt},
      {"foreign", t.wrong.foreign},   {"stale", t.wrong.stale},   {"future", t.wrong.future},
      {"missing", t.wrong.missing},   {"absent", t.absent},       {"lost", t.lost},
      {"outcome_unknown", t.unknown}, {"refused", t.refused},     {"refused_by_status", refused},
      {"deferred_writes", t.deferred}};
  out["wrong_answers"] = r.complaints;
  out["client"] = client_json(t.client);
  if (r.kn_delta.is_object())
    out["kn"] = {{"summary", kn_summary(r.kn_delta)}, {"delta", r.kn_delta}};
  out["ok"] = !r.failed(s.allow_lost);
  return out;
}

}  // namespace

std::string settings_line(const Settings& s) {
  const Mix& m = s.workload.mix;
  std::string mix;
  const auto part = [&](double share, const char* name) {
    if (share > 0) mix += fmt::format("{}{:g} % {}", mix.empty() ? "" : ", ", share * 100, name);
  };
  part(m.read, "read");
  part(m.update, "update");
  part(m.insert, "insert");
  part(m.rmw, "rmw");
  const std::string sizes = s.value_bytes.min == s.value_bytes.max
                                ? fmt::format("{}", s.value_bytes.min)
                                : fmt::format("{}-{}", s.value_bytes.min, s.value_bytes.max);
  const std::string skew =
      s.workload.distribution == Distribution::kUniform ? "" : fmt::format(" {:g}", s.theta);
  const std::string loop = s.rate > 0 ? fmt::format("open loop at {:g} ops/s", s.rate)
                                      : fmt::format("closed loop, window {}", s.window);
  return fmt::format("{} keys of {} B, values of {} B; {}; {}{}; {}, {} thread{}; seed {}",
                     grouped(s.keys), s.key_bytes, sizes, mix,
                     distribution_name(s.workload.distribution), skew, loop, s.threads,
                     s.threads == 1 ? "" : "s", s.seed);
}

std::string table(const Settings& s, const PhaseResult& r) {
  const Tally& t = r.tally;
  const double rate = per_second(r.operations(), r.seconds);
  std::string out =
      fmt::format("\n{}{}: {} operations in {:.2f} s, {} ops/s, {:.1f} MB/s of values\n\n", r.name,
                  r.interrupted ? " (interrupted)" : "", grouped(r.operations()), r.seconds,
                  grouped(rounded(rate)), per_second(t.value_bytes, r.seconds) / 1e6);
  out += latency_table(r) + '\n';
  out += fmt::format(
      "  client            {:.1f} requests per datagram, {:.0f} ns of CPU per request\n",
      ratio(t.client.transmissions, t.client.datagrams_out), ratio(t.cpu_ns, t.requests));
  if (!s.no_stats) out += kn_table(r.kn_delta);
  if (s.verify && t.verified != 0) {
    out += fmt::format("  verified          {} values, {} wrong\n", grouped(t.verified),
                       grouped(t.wrong.total()));
  }
  if (t.deferred != 0) {
    out += fmt::format(
        "  deferred          {} writes took another key: 32 to the first were in flight\n",
        grouped(t.deferred));
  }
  return out + trouble(s, r);
}

json to_json(const Settings& s, const std::string& port, const std::vector<PhaseResult>& results) {
  json out = {{"program", "dinomo-bench"}, {"version", DINOMO_VERSION}};
  out["config"] = config_json(s, port);
  bool good = true;
  json phases = json::array();
  for (const PhaseResult& r : results) {
    phases.push_back(phase_json(s, r));
    good = good && !r.failed(s.allow_lost);
  }
  out["phases"] = std::move(phases);
  out["ok"] = good;
  return out;
}

}  // namespace dinomo::bench
