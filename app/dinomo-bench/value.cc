// SPDX-License-Identifier: BSD-3-Clause
#include "app/dinomo-bench/value.h"

#include <algorithm>
#include <cstring>

#include "client/random.h"
#include "common/hash.h"

namespace dinomo::bench {

namespace {
constexpr size_t kFillerBytes = size_t{128} * 1024;
constexpr size_t kOffsets =
    size_t{64} * 1024;  // values are at most 61440 bytes, so offset + size fits
constexpr size_t kKeyAt = 16;
constexpr uint32_t kDigitsMax = 19;
}  // namespace

Values::Values(uint64_t seed) : filler_(kFillerBytes) {
  client::Random random(seed);
  for (size_t i = 0; i < filler_.size(); i += 8) store(filler_.data() + i, random.next());
}

void Values::write(MutableBytes out, uint64_t key, Version version) const noexcept {
  const size_t offset = (key * 0x9e37'79b9u + version.counter * uint64_t{64}) % kOffsets;
  std::memcpy(out.data(), filler_.data() + offset, out.size());
  if (out.size() < kCheckableBytes) return;
  store(out.data() + 8, version.pack());
  if (out.size() >= kKeyAt + 8) store(out.data() + kKeyAt, key);
  store(out.data(), checksum64(Bytes(out).subspan(8), key));
}

Checked Values::check(Bytes value, uint64_t key) noexcept {
  if (value.size() < kCheckableBytes) return {Verdict::kCorrupt, {}};
  const auto checksum = load<uint64_t>(value.data());
  const Version version = Version::unpack(load<uint64_t>(value.data() + 8));
  const Bytes covered = value.subspan(8);
  if (checksum64(covered, key) == checksum) return {Verdict::kGood, version};
  if (value.size() >= kKeyAt + 8) {
    const auto named = load<uint64_t>(value.data() + kKeyAt);
    if (named != key && checksum64(covered, named) == checksum) return {Verdict::kForeign, version};
  }
  return {Verdict::kCorrupt, version};
}

uint64_t keys_possible(uint32_t key_bytes) noexcept {
  uint64_t n = 1;
  for (uint32_t i = 0; i < std::min(key_bytes, kDigitsMax); ++i) n *= 10;
  return n;
}

void write_key(MutableBytes out, uint64_t key) noexcept {
  std::ranges::fill(out, std::byte{'0'});
  for (size_t i = out.size(); i-- > 0 && key != 0; key /= 10) {
    out[i] = static_cast<std::byte>('0' + key % 10);
  }
  if (out.size() >= 4 + kDigitsMax) std::memcpy(out.data(), "user", 4);
}

}  // namespace dinomo::bench
