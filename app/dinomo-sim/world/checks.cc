// SPDX-License-Identifier: BSD-3-Clause
#include "world/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace dinomo::world {

namespace {

constexpr uint32_t kLogShift = 48;  // of log::item_version()

bool gives_version(const sim::Operation& o) {
  const bool touches = o.opcode == wire::Opcode::kTouch || o.opcode == wire::Opcode::kGetAndTouch;
  return wire::is_mutation(o.opcode) && !touches && o.answered() && o.status == wire::Status::kOk &&
         o.version != 0;
}

std::string check_key(const Cluster& cluster, std::vector<const sim::Operation*> given) {
  std::ranges::sort(given, {}, &sim::Operation::version);
  for (size_t i = 0; i < given.size(); ++i) {
    const sim::Operation& o = *given[i];
    if (!cluster.may_have_given(o.key, static_cast<uint16_t>(o.version >> kLogShift))) {
      return fmt::format("a version that no log of its owner gave: {}", sim::describe(o));
    }
    if (i == 0) continue;
    const sim::Operation& before = *given[i - 1];
    if (before.version == o.version) {
      return fmt::format("one version, two mutations: {} and {}", sim::describe(before),
                         sim::describe(o));
    }
    if (before.version >> kLogShift == o.version >> kLogShift && o.return_ns < before.invoke_ns) {
      return fmt::format("versions run backwards: {} was answered before {}", sim::describe(o),
                         sim::describe(before));
    }
  }
  return {};
}

std::string check_worker(const std::string& who, const kn::WorkerStats& s, bool exact) {
  const auto wrong = [&](const char* what, uint64_t count, uint64_t rts) {
    return fmt::format("round trips of {}: {} {} took {}", who, count, what, rts);
  };
  const uint64_t log_rts = s.round_trips[static_cast<size_t>(fabric::Purpose::kLog)].get();
  if (s.shortcut_rts.get() != s.shortcut_hits.get()) {
    return wrong("shortcut hits", s.shortcut_hits.get(), s.shortcut_rts.get());
  }
  if (log_rts != s.commits.get()) return wrong("group commits", s.commits.get(), log_rts);
  // Chains and retries cost more; without faults and with room in the index there are few.
  const uint64_t misses = s.misses.get();
  const uint64_t absent = s.absent.get();
  if (s.miss_rts.get() < 2 * misses || (exact && s.miss_rts.get() * 10 > misses * 21)) {
    return wrong("misses", misses, s.miss_rts.get());
  }
  if (s.absent_rts.get() < absent || (exact && s.absent_rts.get() * 10 > absent * 11)) {
    return wrong("absent keys", absent, s.absent_rts.get());
  }
  const uint64_t shared = s.shared_reads.get();
  if (s.shared_rts.get() < 2 * shared || (exact && s.shared_rts.get() * 10 > shared * 21)) {
    return wrong("reads through a cell", shared, s.shared_rts.get());
  }
  return {};
}

std::string check_worker_bounds(const KnNode& kn, const kn::WorkerStats& s) {
  const kn::WorkerConfig& config = kn.options().worker;
  const struct {
    const char* what;
    uint64_t seen;
    uint64_t bound;
  } queues[] = {
      {"datagrams wait", s.queued_most.get(), kn::Admission::kQueuedMax},
      {"lookups are under way", s.lookups_in_flight.get(), config.fetches_max},
      {"sessions are remembered", s.sessions.get(), config.sessions_max},
      // One more is full when the next cannot be opened.
      {"full segments wait", s.unmerged_segments.get(), config.unmerged_segments_max + uint64_t{1}},
  };
  for (const auto& q : queues) {
    if (q.seen <= q.bound) continue;
    return fmt::format("a queue without bound: {} {} in a worker of {}, at most {} may", q.seen,
                       q.what, kn.name(), q.bound);
  }
  return {};
}

}  // namespace

std::string check_bounds(const Cluster& cluster) {
  for (const auto& kn : cluster.kns()) {
    if (!kn->running()) continue;
    for (const auto& w : kn->workers()) {
      std::string wrong = check_worker_bounds(*kn, w->stats());
      if (!wrong.empty()) return wrong;
    }
  }
  for (const auto& c : cluster.clients()) {
    if (c->library().in_flight() <= c->requests_max()) continue;
    return fmt::format("a queue without bound: client {} has {} requests, at most {} may", c->ip(),
                       c->library().in_flight(), c->requests_max());
  }
  return {};
}

std::string check_no_internal(const sim::History& history) {
  const auto internal = std::ranges::find_if(history, [](const sim::Operation& o) {
    return o.answered() && o.status == wire::Status::kInternal;
  });
  return internal == history.end() ? "" : "an internal error: " + sim::describe(*internal);
}

std::string check_versions(const Cluster& cluster, const sim::History& history) {
  std::map<std::string_view, std::vector<const sim::Operation*>> keys;
  for (const sim::Operation& o : history) {
    if (gives_version(o)) keys[o.key].push_back(&o);
  }
  for (auto& [key, given] : keys) {
    std::string wrong = check_key(cluster, std::move(given));
    if (!wrong.empty()) return wrong;
  }
  return {};
}

std::string check_round_trips(Cluster* cluster, bool exact) {
  for (const auto& kn : cluster->kns()) {
    if (!kn->running()) continue;
    for (size_t w = 0; w < kn->workers().size(); ++w) {
      const std::string who = fmt::format("{} worker {}", kn->name(), w);
      std::string wrong = check_worker(who, kn->workers()[w]->stats(), exact);
      if (!wrong.empty()) return wrong;
    }
  }
  return {};
}

bool idle(Cluster* cluster) {
  return std::ranges::all_of(cluster->kns(), [](const auto& kn) {
    return !kn->running() || std::ranges::none_of(kn->workers(), [](const auto& w) {
      const bool unmerged = w->served().any() && w->stats().unmerged_entries.get() != 0;
      return w->busy() || w->waiting() || unmerged;
    });
  });
}

}  // namespace dinomo::world
