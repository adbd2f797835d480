// SPDX-License-Identifier: BSD-3-Clause
#include "memcached/counters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "memcached/operation.h"

namespace dinomo::memcached {

namespace {

struct Named {
  const char* name;
  Counter Counters::* counter;
};
// memcached's own names, as its exporters read them; then ours.
constexpr std::array kNamed = {
    Named{"curr_connections", &Counters::connections_now},
    Named{"total_connections", &Counters::connections},
    Named{"rejected_connections", &Counters::connections_refused},
    Named{"cmd_get", &Counters::cmd_get},
    Named{"cmd_set", &Counters::cmd_set},
    Named{"cmd_flush", &Counters::cmd_flush},
    Named{"cmd_touch", &Counters::cmd_touch},
    Named{"cmd_meta", &Counters::cmd_meta},
    Named{"get_hits", &Counters::get_hits},
    Named{"get_misses", &Counters::get_misses},
    Named{"delete_misses", &Counters::delete_misses},
    Named{"delete_hits", &Counters::delete_hits},
    Named{"incr_misses", &Counters::incr_misses},
    Named{"incr_hits", &Counters::incr_hits},
    Named{"decr_misses", &Counters::decr_misses},
    Named{"decr_hits", &Counters::decr_hits},
    Named{"cas_misses", &Counters::cas_misses},
    Named{"cas_hits", &Counters::cas_hits},
    Named{"cas_badval", &Counters::cas_badval},
    Named{"touch_hits", &Counters::touch_hits},
    Named{"touch_misses", &Counters::touch_misses},
    Named{"bytes_read", &Counters::bytes_read},
    Named{"bytes_written", &Counters::bytes_written},
    Named{"dinomo_failures", &Counters::failures},
    Named{"dinomo_refused", &Counters::refused},
    Named{"dinomo_udp_requests", &Counters::requests},
    Named{"dinomo_udp_dropped_source", &Counters::dropped_source},
    Named{"dinomo_udp_dropped_frame", &Counters::dropped_frame},
    Named{"dinomo_udp_dropped_busy", &Counters::dropped_busy},
    Named{"dinomo_replies_too_large", &Counters::replies_too_large},
};

class Lines {
 public:
  Lines(char* out, size_t capacity) noexcept : at_(out), left_(capacity) {}

  template <class T>
  void stat(const char* name, const T& value) noexcept {
    add("STAT {} {}\r\n", name, value);
  }
  void end() noexcept { add("END\r\n"); }
  size_t left() const noexcept { return left_; }
  bool fits() const noexcept { return fits_; }

 private:
  template <class... T>
  void add(fmt::string_view format, const T&... values) noexcept {
    const auto done = fmt::format_to_n(at_, left_, fmt::runtime(format), values...);
    fits_ = fits_ && done.size <= left_;
    const size_t n = std::min(done.size, left_);
    at_ += n;
    left_ -= n;
  }

  char* at_;
  size_t left_;
  bool fits_ = true;
};

uint64_t sum(std::span<const Counters* const> places, Counter Counters::* counter) noexcept {
  uint64_t total = 0;
  for (const Counters* c : places) total += (c->*counter).get();
  return total;
}

uint64_t sum(std::span<const kn::WorkerStats* const> workers,
             Counter kn::WorkerStats::* counter) noexcept {
  uint64_t total = 0;
  for (const kn::WorkerStats* w : workers) total += (w->*counter).get();
  return total;
}

}  // namespace

void Counters::count(const Command& c, wire::Status status) noexcept {
  const bool hit = status == wire::Status::kOk;
  if (is_meta(c.verb)) cmd_meta.add();
  if (status != wire::Status::kNotNumber && !failure_line(status).empty()) {
    failures.add();
    return;
  }
  const auto either = [hit](Counter& hits, Counter& misses) { (hit ? hits : misses).add(); };
  if (is_storage(c.verb)) {
    cmd_set.add();
    if (!c.compare) return;
    if (status == wire::Status::kExists) {
      cas_badval.add();
    } else {
      either(cas_hits, cas_misses);
    }
    return;
  }
  switch (c.verb) {
    case Verb::kDelete:
    case Verb::kMetaDelete: either(delete_hits, delete_misses); return;
    case Verb::kTouch:
      cmd_touch.add();
      either(touch_hits, touch_misses);
      return;
    case Verb::kIncr:
    case Verb::kDecr:
    case Verb::kMetaArithmetic:
      if (c.mode == Mode::kIncr) {
        either(incr_hits, incr_misses);
      } else {
        either(decr_hits, decr_misses);
      }
      return;
    default: break;
  }
  cmd_get.add();
  either(get_hits, get_misses);
  if (!c.touch) return;
  cmd_touch.add();
  either(touch_hits, touch_misses);
}

size_t write_stats(const StatsFacts& facts, std::span<const Counters* const> places,
                   std::span<const kn::WorkerStats* const> workers, char* out,
                   size_t capacity) noexcept {
  Lines lines(out, capacity);
  lines.stat("pid", facts.pid);
  lines.stat("uptime", facts.uptime_s);
  lines.stat("time", facts.unix_s);
  lines.stat("version", facts.version);
  lines.stat("pointer_size", 8 * sizeof(void*));
  lines.stat("threads", workers.size());
  for (const Named& n : kNamed) lines.stat(n.name, sum(places, n.counter));
  // The cache of this KN, not what the pool holds.
  lines.stat("limit_maxbytes", sum(workers, &kn::WorkerStats::cache_budget_bytes));
  lines.stat("bytes", sum(workers, &kn::WorkerStats::cache_used_bytes));
  lines.stat("evictions", sum(workers, &kn::WorkerStats::evictions));
  lines.end();
  return lines.fits() ? capacity - lines.left() : 0;
}

}  // namespace dinomo::memcached
