// SPDX-License-Identifier: BSD-3-Clause
#include "kn/cookies.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "common/planted.h"
#include "ingress/responder.h"

namespace dinomo::kn {

static_assert(crypto_shorthash_KEYBYTES == sizeof(MacKey));
static_assert(crypto_shorthash_BYTES == sizeof(uint64_t));
static_assert(crypto_kdf_KEYBYTES == sizeof(CookieSecret));
static_assert(crypto_kdf_CONTEXTBYTES == 8);

namespace {

MacKey derive(const CookieSecret& secret, uint64_t number, const char* context) noexcept {
  MacKey key{};
  crypto_kdf_derive_from_key(key.data(), key.size(), number, context, secret.data());
  return key;
}

template <size_t N>
uint64_t mac(const MacKey& key, const std::array<unsigned char, N>& input) noexcept {
  uint64_t out = 0;
  crypto_shorthash(reinterpret_cast<unsigned char*>(&out), input.data(), input.size(), key.data());
  return out;
}

}  // namespace

Cookies::Cookies(const CookieSecret& secret, uint64_t period_ns) noexcept
    : secret_(secret), period_ns_(std::max<uint64_t>(period_ns, 1)) {
  begin_period(0);
}

void Cookies::begin_period(uint64_t period) noexcept {
  period_ = period;
  period_end_ns_ = (period + 1) * period_ns_;
  // The key of the period before the last is gone with this, and what it had verified.
  for (uint64_t p = period == 0 ? 0 : period - 1; p <= period + 1; ++p) {
    keys_[p & kPeriodMask] = derive(secret_, p, "DnCookie");
  }
  keys_[(period + 2) & kPeriodMask] = {};
  verified_.fill({});
}

uint64_t Cookies::make(const ingress::Peer& peer, uint64_t session) const noexcept {
  std::array<unsigned char, 26> input;
  std::memcpy(input.data(), peer.remote_address.data(), 16);
  std::memcpy(input.data() + 16, &peer.remote_port, 2);
  std::memcpy(input.data() + 18, &session, 8);
  return (mac(keys_[period_ & kPeriodMask], input) & ~kPeriodMask) | (period_ & kPeriodMask);
}

bool Cookies::valid(const ingress::Peer& peer, uint64_t session, uint64_t cookie) noexcept {
  if (session == 0) return false;
  if (planted("cookie-not-checked")) return true;
  Verified& v = verified_[(session * 0x9e37'79b9'7f4a'7c15 >> 56) ^ (peer.remote_port & 0xff)];
  if (v.session == session && v.cookie == cookie && v.port == peer.remote_port &&
      v.address == peer.remote_address) {
    return true;
  }
  const uint64_t ahead = (cookie - period_) & kPeriodMask;  // 0 this, 1 the next, 3 the last period
  if (ahead == 2 || (ahead == 3 && period_ == 0)) return false;
  std::array<unsigned char, 26> input;
  std::memcpy(input.data(), peer.remote_address.data(), 16);
  std::memcpy(input.data() + 16, &peer.remote_port, 2);
  std::memcpy(input.data() + 18, &session, 8);
  if (((mac(keys_[cookie & kPeriodMask], input) ^ cookie) & ~kPeriodMask) != 0) return false;
  v = Verified{session, cookie, peer.remote_address, peer.remote_port};
  return true;
}

void SessionTokens::set_pool(uint64_t hash_seed, const std::array<uint8_t, 16>& uuid) noexcept {
  struct Input {
    std::array<char, 16> what{"dinomo session"};
    uint64_t hash_seed;
    std::array<uint8_t, 16> uuid;
  } const input{.hash_seed = hash_seed, .uuid = uuid};
  static_assert(sizeof(Input) == 40 && crypto_generichash_BYTES_MIN == sizeof(MacKey));
  crypto_generichash(key_.data(), key_.size(), reinterpret_cast<const unsigned char*>(&input),
                     sizeof input, nullptr, 0);
  ready_ = true;
}

uint64_t SessionTokens::make(uint64_t session) const noexcept {
  std::array<unsigned char, 8> input;
  std::memcpy(input.data(), &session, 8);
  return mac(key_, input);
}

SourceBudget::SourceBudget(const CookieSecret& secret, uint32_t per_second)
    : key_(derive(secret, 0, "DnSource")),
      interval_ns_(1'000'000'000 / std::max(per_second, 1u)),
      burst_ns_(interval_ns_ * (std::max(per_second, 1u) - 1)),
      empty_until_ns_(kBuckets) {}

bool SourceBudget::take(const std::array<uint8_t, 16>& address, uint64_t now_ns) noexcept {
  std::array<unsigned char, 16> source{};
  const size_t bytes = ingress::is_ipv4(address) ? 16 : 8;
  std::copy_n(address.begin(), bytes, source.begin());
  uint64_t& empty_until = empty_until_ns_[mac(key_, source) % kBuckets];
  const uint64_t from = std::max(empty_until, now_ns);
  if (from - now_ns > burst_ns_) return false;
  empty_until = from + interval_ns_;
  return true;
}

}  // namespace dinomo::kn
