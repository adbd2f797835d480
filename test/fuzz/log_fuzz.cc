// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as a log segment: the reader stays inside, goes forward, ends, and takes nothing that
// does not fit. A checksum keeps random bytes out at once, so a second pass mends checksum,
// generation, log and LSN along the way and lets only lengths, operation and flags be wrong.
#include <vector>

#include "log/format.h"
#include "log/log_reader.h"
#include "test/fuzz/fuzz.h"

namespace dinomo::log {
namespace {

constexpr uint32_t kGeneration = 0x107;
constexpr uint16_t kLogId = 3;
constexpr uint64_t kFirstLsn = 1000;

void check_entry(const Entry& e, Bytes whole) {
  FUZZ_CHECK(fuzz::inside(e.key, whole) && fuzz::inside(e.value, whole));
  FUZZ_CHECK(e.key.size() == e.header.key_bytes && e.value.size() == e.header.value_bytes);
  FUZZ_CHECK(e.key.size() <= pool::kKeyBytesMax && e.value.size() <= pool::kValueBytesMax);
  FUZZ_CHECK(e.header.lsn != 0 && e.header.lsn >> kLsnBits == 0);
  fuzz::touch(e.key);
  fuzz::touch(e.value);
}

/// Entries read.
size_t read_segment(Bytes segment) {
  LogReader reader(segment, kGeneration, kLogId, sizeof(pool::SegmentHeader), kFirstLsn);
  Entry entry;
  size_t entries = 0;
  uint64_t offset = reader.offset();
  for (;;) {
    const Step step = reader.next(&entry);
    if (step != Step::kEntry) {
      // Asked again, it says the same.
      FUZZ_CHECK(reader.next(&entry) == step);
      break;
    }
    check_entry(entry, segment);
    FUZZ_CHECK(entry.header.lsn == kFirstLsn + entries);
    FUZZ_CHECK(entry.header.generation == kGeneration && entry.header.log_id == kLogId);
    FUZZ_CHECK(reader.offset() > offset && reader.offset() <= segment.size());
    FUZZ_CHECK((reader.offset() - offset) % kUnitBytes == 0);
    offset = reader.offset();
    ++entries;
  }
  const uint64_t first = LogReader::first_lsn(segment, kGeneration, kLogId);
  FUZZ_CHECK(entries == 0 || first == kFirstLsn);
  return entries;
}

/// Mends every header that lengths lead to.
std::vector<std::byte> mend(Bytes segment) {
  std::vector<std::byte> copy(segment.begin(), segment.end());
  uint64_t offset = sizeof(pool::SegmentHeader);
  for (uint64_t lsn = kFirstLsn; offset + sizeof(EntryHeader) <= copy.size(); ++lsn) {
    auto header = load<EntryHeader>(copy.data() + offset);
    header.lsn = lsn;
    header.generation = kGeneration;
    header.log_id = kLogId;
    const uint64_t used = sizeof header + header.key_bytes + header.value_bytes;
    if (offset + used > copy.size()) break;
    store(copy.data() + offset, header);
    store(copy.data() + offset, entry_checksum(copy.data() + offset, header));
    offset += entry_bytes(header);
  }
  return copy;
}

}  // namespace
}  // namespace dinomo::log

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace log = dinomo::log;
  const dinomo::Bytes bytes = std::as_bytes(std::span(data, size));
  log::Entry entry;
  for (const uint32_t generation : {uint32_t{0}, log::kGeneration}) {
    if (log::parse_entry(bytes, generation, &entry) == log::EntryCheck::kValid) {
      log::check_entry(entry, bytes);
    }
  }
  if (log::parse_entry_low8(bytes, static_cast<uint8_t>(log::kGeneration), &entry) ==
      log::EntryCheck::kValid) {
    log::check_entry(entry, bytes);
  }
  log::read_segment(bytes);
  log::read_segment(log::mend(bytes));
  return 0;
}
