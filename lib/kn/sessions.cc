// SPDX-License-Identifier: BSD-3-Clause
#include "kn/sessions.h"

#include <sodium.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "common/align.h"

namespace dinomo::kn {

static_assert(crypto_shorthash_KEYBYTES == sizeof(CookieSecret));
static_assert(crypto_shorthash_BYTES == sizeof(uint64_t));

uint64_t make_cookie(const CookieSecret& secret, const ingress::Peer& peer,
                     uint64_t session) noexcept {
  std::array<unsigned char, 26> input;
  std::memcpy(input.data(), peer.remote_address.data(), 16);
  std::memcpy(input.data() + 16, &peer.remote_port, 2);
  std::memcpy(input.data() + 18, &session, 8);
  uint64_t cookie = 0;
  crypto_shorthash(reinterpret_cast<unsigned char*>(&cookie), input.data(), input.size(),
                   secret.data());
  return cookie;
}

bool CookieChecker::valid(const ingress::Peer& peer, uint64_t session, uint64_t cookie) noexcept {
  if (session == 0) return false;
  Verified& v = verified_[(session ^ peer.remote_port) % verified_.size()];
  if (v.session == session && v.cookie == cookie && v.port == peer.remote_port &&
      v.address == peer.remote_address) {
    return true;
  }
  if (make_cookie(secret_, peer, session) != cookie) return false;
  v = Verified{session, cookie, peer.remote_address, peer.remote_port};
  return true;
}

Sessions::Sessions(uint32_t sessions_max, uint32_t window)
    : window_(window), slots_(sessions_max), cells_(size_t{sessions_max} * window) {
  assert(is_power_of_two(sessions_max) && is_power_of_two(window));
}

uint32_t Sessions::slot_of(uint64_t session) noexcept {
  if (slots_[last_slot_].session == session) return last_slot_;
  const auto mask = static_cast<uint32_t>(slots_.size() - 1);
  const auto home = static_cast<uint32_t>(session * 0x9e37'79b9'7f4a'7c15 >> 40);
  uint32_t victim = home & mask;
  for (uint32_t i = 0; i < kProbesMax; ++i) {
    const uint32_t at = (home + i) & mask;
    if (slots_[at].session == session) return at;
    if (slots_[at].used < slots_[victim].used) victim = at;
  }
  slots_[victim].session = session;
  std::fill_n(cells_.begin() + ptrdiff_t{victim} * window_, window_, MutationCell{});
  return victim;
}

MutationClaim Sessions::claim(uint64_t session, uint64_t sequence) noexcept {
  last_slot_ = slot_of(session);
  slots_[last_slot_].used = ++tick_;
  const uint32_t index = last_slot_ * window_ + static_cast<uint32_t>(sequence & (window_ - 1));
  MutationCell& cell = cells_[index];
  if (cell.sequence() == sequence && cell.state() != MutationCell::State::kFree) {
    const bool done = cell.state() == MutationCell::State::kDone;
    return {done ? MutationClaim::Kind::kDone : MutationClaim::Kind::kRunning, index};
  }
  if (cell.sequence() > sequence) return {MutationClaim::Kind::kTooOld, index};
  cell.start(sequence);
  return {MutationClaim::Kind::kNew, index};
}

void Sessions::finish(uint32_t index, uint64_t session, uint64_t sequence, wire::Status status,
                      uint64_t lsn, uint64_t result) noexcept {
  if (holds(index, session, sequence)) cells_[index].finish(status, lsn, result);
}

void Sessions::forget(uint32_t index, uint64_t session, uint64_t sequence) noexcept {
  if (holds(index, session, sequence)) cells_[index].forget();
}

void Sessions::clear() noexcept {
  std::ranges::fill(slots_, Slot{});
  std::ranges::fill(cells_, MutationCell{});
  tick_ = 0;
}

}  // namespace dinomo::kn
