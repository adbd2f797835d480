// SPDX-License-Identifier: BSD-3-Clause
#include "log/format.h"

#include <cstring>

#include "common/planted.h"

namespace dinomo::log {

namespace {

bool lengths_fit(const EntryHeader& h) noexcept {
  if (h.key_bytes > pool::kKeyBytesMax || h.value_bytes > pool::kValueBytesMax) return false;
  switch (static_cast<Op>(h.op)) {
    case Op::kPut: return h.key_bytes != 0;
    case Op::kDelete: return h.key_bytes != 0 && h.value_bytes == 0;
    case Op::kOutcome: return h.key_bytes == 0;
    case Op::kEnd: return h.key_bytes == 0 && h.value_bytes == 0;
  }
  return false;
}

template <class GenerationFits>
EntryCheck parse(Bytes bytes, Entry* out, GenerationFits generation_fits) noexcept {
  if (bytes.size() < sizeof(EntryHeader)) return EntryCheck::kTruncated;
  const auto h = load<EntryHeader>(bytes.data());
  if (!lengths_fit(h) || h.flags != 0 || h.lsn == 0 || h.lsn >> kLsnBits != 0) {
    return EntryCheck::kMalformed;
  }
  if (!generation_fits(h.generation)) return EntryCheck::kWrongGeneration;
  if (entry_bytes(h) > bytes.size()) return EntryCheck::kTruncated;
  if (entry_checksum(bytes.data(), h) != h.checksum && !planted("checksum-ignored"))
    return EntryCheck::kBadChecksum;
  const std::byte* key = bytes.data() + sizeof(EntryHeader);
  *out = Entry{h, {key, h.key_bytes}, {key + h.key_bytes, h.value_bytes}};
  return EntryCheck::kValid;
}

}  // namespace

EntryCheck parse_entry(Bytes bytes, uint32_t generation, Entry* out) noexcept {
  return parse(bytes, out, [&](uint32_t g) { return g == generation; });
}

EntryCheck parse_entry_low8(Bytes bytes, uint8_t generation_low8, Entry* out) noexcept {
  return parse(bytes, out, [&](uint32_t g) { return static_cast<uint8_t>(g) == generation_low8; });
}

uint64_t build_entry(std::byte* to, const EntryFields& fields, Bytes key, Bytes value) noexcept {
  EntryHeader h{};
  h.lsn = fields.lsn;
  h.generation = fields.generation;
  h.log_id = fields.log_id;
  h.op = static_cast<uint8_t>(fields.op);
  h.key_bytes = static_cast<uint8_t>(key.size());
  h.outcome = fields.outcome;
  h.value_bytes = static_cast<uint16_t>(value.size());
  h.item_flags = fields.item_flags;
  h.session = fields.session;
  h.sequence = fields.sequence;
  h.expiry_ms = fields.expiry_ms;
  const uint64_t used = sizeof h + key.size() + value.size();
  const uint64_t total = align_up<uint64_t>(used, kUnitBytes);
  store(to, h);
  if (!key.empty()) std::memcpy(to + sizeof h, key.data(), key.size());
  if (!value.empty()) std::memcpy(to + sizeof h + key.size(), value.data(), value.size());
  if (total != used) std::memset(to + used, 0, total - used);
  store(to, entry_checksum(to, h));
  return total;
}

void move_entry(std::byte* entry, uint32_t generation) noexcept {
  auto h = load<EntryHeader>(entry);
  h.generation = generation;
  store(entry, h);
  store(entry, entry_checksum(entry, h));
}

}  // namespace dinomo::log
