// SPDX-License-Identifier: BSD-3-Clause
#include "kn/stats.h"

#include <fmt/format.h>

#include <algorithm>

namespace dinomo::kn {

namespace {

/// Appends "name":value pairs to a bounded buffer.
class JsonObject {
 public:
  JsonObject(char* out, size_t capacity) noexcept : out_(out), capacity_(capacity) { raw("{"); }

  void field(const char* name, uint64_t value) noexcept {
    const auto r = fmt::format_to_n(out_ + used_, left(), "{}\"{}\":{}", comma(), name, value);
    advance(r.size);
  }
  void open(const char* name) noexcept {
    const auto r = fmt::format_to_n(out_ + used_, left(), "{}\"{}\":{{", comma(), name);
    advance(r.size);
    first_ = true;
  }
  void close() noexcept {
    raw("}");
    first_ = false;
  }
  size_t finish() noexcept {
    raw("}");
    return overflow_ ? 0 : used_;
  }

 private:
  size_t left() const noexcept { return capacity_ - used_; }
  const char* comma() noexcept {
    const char* c = first_ ? "" : ",";
    first_ = false;
    return c;
  }
  void raw(const char* text) noexcept {
    const auto r = fmt::format_to_n(out_ + used_, left(), "{}", text);
    advance(r.size);
  }
  void advance(size_t bytes) noexcept {
    if (bytes > left()) {
      overflow_ = true;
      bytes = left();
    }
    used_ += bytes;
  }

  char* out_;
  size_t capacity_;
  size_t used_ = 0;
  bool first_ = true;
  bool overflow_ = false;
};

using Workers = std::span<const WorkerStats* const>;

uint64_t sum(Workers workers, Counter WorkerStats::* counter) noexcept {
  uint64_t total = 0;
  for (const WorkerStats* w : workers) total += (w->*counter).get();
  return total;
}

/// Mean over the workers that know it; 0 if none does.
uint64_t mean(Workers workers, Counter WorkerStats::* counter) noexcept {
  uint64_t total = 0;
  uint64_t known = 0;
  for (const WorkerStats* w : workers) {
    total += (w->*counter).get();
    known += (w->*counter).get() != 0 ? 1 : 0;
  }
  return known == 0 ? 0 : total / known;
}

uint64_t least(Workers workers, Counter WorkerStats::* counter) noexcept {
  uint64_t result = workers.empty() ? 0 : UINT64_MAX;
  for (const WorkerStats* w : workers) result = std::min(result, (w->*counter).get());
  return result;
}

uint64_t most(Workers workers, Counter WorkerStats::* counter) noexcept {
  uint64_t result = 0;
  for (const WorkerStats* w : workers) result = std::max(result, (w->*counter).get());
  return result;
}

struct Named {
  const char* name;
  Counter WorkerStats::* counter;
};

constexpr Named kNamed[] = {
    {"requests", &WorkerStats::requests},
    {"gets", &WorkerStats::gets},
    {"puts", &WorkerStats::puts},
    {"deletes", &WorkerStats::deletes},
    {"conditionals", &WorkerStats::conditionals},
    {"value_hits", &WorkerStats::value_hits},
    {"shortcut_hits", &WorkerStats::shortcut_hits},
    {"unmerged_hits", &WorkerStats::unmerged_hits},
    {"misses", &WorkerStats::misses},
    {"absent", &WorkerStats::absent},
    {"joined", &WorkerStats::joined},
    {"shortcut_rts", &WorkerStats::shortcut_rts},
    {"unmerged_rts", &WorkerStats::unmerged_rts},
    {"miss_rts", &WorkerStats::miss_rts},
    {"absent_rts", &WorkerStats::absent_rts},
    {"stale_shortcuts", &WorkerStats::stale_shortcuts},
    {"index_retries", &WorkerStats::index_retries},
    {"shared_reads", &WorkerStats::shared_reads},
    {"shared_rts", &WorkerStats::shared_rts},
    {"shared_elsewhere", &WorkerStats::shared_elsewhere},
    {"cell_writes", &WorkerStats::cell_writes},
    {"cells_taken", &WorkerStats::cells_taken},
    {"commits", &WorkerStats::commits},
    {"entries", &WorkerStats::entries},
    {"log_bytes", &WorkerStats::log_bytes},
    {"unmerged_entries", &WorkerStats::unmerged_entries},
    {"unmerged_segments", &WorkerStats::unmerged_segments},
    {"deferred", &WorkerStats::deferred},
    {"session_lookups", &WorkerStats::session_lookups},
    {"duplicates", &WorkerStats::duplicates},
    {"refused_busy", &WorkerStats::refused_busy},
    {"refused_session", &WorkerStats::refused_session},
    {"refused_owner", &WorkerStats::refused_owner},
    {"refused_network", &WorkerStats::refused_network},
    {"refused_rate", &WorkerStats::refused_rate},
    {"sessions", &WorkerStats::sessions},
    {"cache_values", &WorkerStats::cache_values},
    {"cache_shortcuts", &WorkerStats::cache_shortcuts},
    {"cache_value_bytes", &WorkerStats::cache_value_bytes},
    {"cache_used_bytes", &WorkerStats::cache_used_bytes},
    {"cache_budget_bytes", &WorkerStats::cache_budget_bytes},
    {"promotions", &WorkerStats::promotions},
    {"demotions", &WorkerStats::demotions},
    {"evictions", &WorkerStats::evictions},
    {"datagrams_in", &WorkerStats::datagrams_in},
    {"datagrams_out", &WorkerStats::datagrams_out},
    {"handed_over", &WorkerStats::handed_over},
    {"dropped", &WorkerStats::dropped},
    {"busy_ns", &WorkerStats::busy_ns},
    {"turns", &WorkerStats::turns},
    {"busy_turns", &WorkerStats::busy_turns},
};

}  // namespace

size_t stats_json(Workers workers, char* out, size_t capacity) noexcept {
  JsonObject json(out, capacity);
  json.field("workers", workers.size());
  for (const Named& n : kNamed) json.field(n.name, sum(workers, n.counter));
  json.field("cache_budget_least_bytes", least(workers, &WorkerStats::cache_budget_bytes));
  json.field("cache_budget_most_bytes", most(workers, &WorkerStats::cache_budget_bytes));
  json.field("half_cache_millirt", mean(workers, &WorkerStats::half_cache_millirt));
  json.field("same_cache_millirt", mean(workers, &WorkerStats::same_cache_millirt));
  json.field("twice_cache_millirt", mean(workers, &WorkerStats::twice_cache_millirt));
  uint64_t malformed = 0;
  for (const WorkerStats* w : workers) {
    for (const Counter& c : w->malformed) malformed += c.get();
  }
  json.field("malformed", malformed);
  json.open("round_trips");
  for (size_t p = 0; p < fabric::kPurposes; ++p) {
    uint64_t total = 0;
    for (const WorkerStats* w : workers) total += w->round_trips[p].get();
    json.field(fabric::purpose_name(static_cast<fabric::Purpose>(p)), total);
  }
  json.close();
  return json.finish();
}

}  // namespace dinomo::kn
