// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/workload.h"

#include <algorithm>
#include <charconv>

namespace dinomo::bench {

const char* op_kind_name(OpKind kind) noexcept {
  switch (kind) {
    case OpKind::kRead: return "read";
    case OpKind::kUpdate: return "update";
    case OpKind::kInsert: return "insert";
    case OpKind::kReadModifyWrite: return "rmw";
    case OpKind::kLoad: return "load";
  }
  return "unknown";
}

const char* distribution_name(Distribution d) noexcept {
  switch (d) {
    case Distribution::kZipfian: return "zipfian";
    case Distribution::kUniform: return "uniform";
    case Distribution::kLatest: return "latest";
  }
  return "unknown";
}

OpKind Mix::draw(client::Random* random) const noexcept {
  const double u = random->unit();
  if (u < read) return OpKind::kRead;
  if (u < read + update) return OpKind::kUpdate;
  if (u < read + update + insert) return OpKind::kInsert;
  // Rounding of the sum must not make an operation that was not asked for.
  if (rmw > 0) return OpKind::kReadModifyWrite;
  if (insert > 0) return OpKind::kInsert;
  return update > 0 ? OpKind::kUpdate : OpKind::kRead;
}

std::optional<Workload> workload_by_name(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  if (lower == "a" || lower == "50/50") return Workload{{0.5, 0.5, 0, 0}, Distribution::kZipfian};
  if (lower == "b" || lower == "95/5") return Workload{{0.95, 0.05, 0, 0}, Distribution::kZipfian};
  if (lower == "c" || lower == "100/0") return Workload{{1, 0, 0, 0}, Distribution::kZipfian};
  if (lower == "d") return Workload{{0.95, 0, 0.05, 0}, Distribution::kLatest};
  if (lower == "f") return Workload{{0.5, 0, 0, 0.5}, Distribution::kZipfian};
  return std::nullopt;
}

std::optional<SizeRange> parse_size_range(std::string_view text) {
  SizeRange range;
  const char* const end = text.data() + text.size();
  const char* const begin = text.data();
  auto [at, error] = std::from_chars(begin, end, range.min);
  if (error != std::errc{}) return std::nullopt;
  range.max = range.min;
  if (at != end) {
    if (*at != '-') return std::nullopt;
    const auto second = std::from_chars(at + 1, end, range.max);
    if (second.ec != std::errc{} || second.ptr != end) return std::nullopt;
  }
  if (range.max < range.min) return std::nullopt;
  return range;
}

KeyChooser::KeyChooser(Distribution distribution, double theta, const KeySpace* space)
    : distribution_(distribution),
      space_(space),
      zipf_(space->loaded, theta),
      scramble_(space->loaded) {}

uint64_t KeyChooser::choose(client::Random* random) noexcept {
  switch (distribution_) {
    case Distribution::kUniform: return random->below(space_->loaded);
    case Distribution::kZipfian: return scramble_(zipf_.sample(random));
    case Distribution::kLatest: break;
  }
  const uint64_t newest = space_->newest.load(std::memory_order_acquire);
  if (zipf_.n() != newest + 1) zipf_.resize(newest + 1);
  return newest - zipf_.sample(random);
}

}  // namespace dinomo::bench
