// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/tally.h"

namespace dinomo::bench {

namespace {

template <class F>
client::Counters combine(const client::Counters& a, const client::Counters& b, F f) noexcept {
  using C = client::Counters;
  constexpr uint64_t C::* kFields[] = {
      &C::submitted,       &C::completed,     &C::transmissions, &C::timeouts, &C::gave_up,
      &C::outcome_unknown, &C::wrong_owner,   &C::moving,        &C::busy,     &C::no_session,
      &C::followed,        &C::late_replies,  &C::malformed,     &C::hellos,   &C::sessions,
      &C::ring_fetches,    &C::datagrams_out, &C::datagrams_in};
  static_assert(sizeof kFields / sizeof kFields[0] == sizeof(C) / sizeof(uint64_t));
  C out;
  for (const auto field : kFields) out.*field = f(a.*field, b.*field);
  return out;
}

}  // namespace

client::Counters operator-(const client::Counters& a, const client::Counters& b) noexcept {
  return combine(a, b, [](uint64_t x, uint64_t y) { return x - y; });
}

void Tally::merge(const Tally& other) noexcept {
  for (size_t i = 0; i < kOpKinds; ++i) {
    kinds[i].done += other.kinds[i].done;
    kinds[i].service.merge(other.kinds[i].service);
    kinds[i].corrected.merge(other.kinds[i].corrected);
  }
  wrong.corrupt += other.wrong.corrupt;
  wrong.foreign += other.wrong.foreign;
  wrong.stale += other.wrong.stale;
  wrong.future += other.wrong.future;
  wrong.missing += other.wrong.missing;
  verified += other.verified;
  absent += other.absent;
  refused += other.refused;
  for (size_t i = 0; i < refused_by_status.size(); ++i) {
    refused_by_status[i] += other.refused_by_status[i];
  }
  lost += other.lost;
  unknown += other.unknown;
  deferred += other.deferred;
  value_bytes += other.value_bytes;
  cpu_ns += other.cpu_ns;
  requests += other.requests;
  client = combine(client, other.client, [](uint64_t x, uint64_t y) { return x + y; });
}

}  // namespace dinomo::bench
