// SPDX-License-Identifier: BSD-3-Clause
// A recorded stream of operations: which key, what kind, how large the value, in order of
// completion. `dinomo-bench --record` writes it, `dinomo-lab` replays it. Byte tables:
// doc/formats.md.
//
// Keys themselves are not recorded, only their hash: a recording tells no secrets and a record has
// 16 bytes whatever the key. Little-endian, as everything of this project.
#pragma once

#include <cstdint>
#include <cstdio>
#include <expected>
#include <mutex>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/hash.h"

namespace dinomo::app {

enum class StreamOp : uint8_t { kGet = 1, kPut = 2, kDelete = 3 };
inline constexpr uint8_t kStreamOpLast = 3;

struct KeyStreamHeader {
  static constexpr uint64_t kMagic = 0x4d52'5453'4d4e'4944;  // "DINMSTRM"
  static constexpr uint32_t kVersion = 1;

  uint64_t magic;
  uint32_t format_version;
  uint32_t header_bytes;
  uint32_t record_bytes;
  uint32_t reserved;
  uint64_t created_unix_ms;
  uint64_t records;   // 0 in a recording that was not closed: then as many as the file holds
  uint64_t checksum;  // XXH3 of the bytes before it
};
static_assert(sizeof(KeyStreamHeader) == 48);

struct KeyStreamRecord {
  static constexpr uint8_t kAbsent = 1;  // flags: a GET or DELETE found no item

  uint64_t key_hash;  // XXH3 of the key
  uint32_t value_bytes;
  uint8_t key_bytes;
  uint8_t op;  // StreamOp
  uint8_t flags;
  uint8_t reserved;
};
static_assert(sizeof(KeyStreamRecord) == 16);

/// Owned by the program's main thread, append() by any thread. What cannot be written (a full disk)
/// is said once, by close(); the file then holds what came before.
class KeyStreamWriter {
 public:
  KeyStreamWriter() = default;
  KeyStreamWriter(const KeyStreamWriter&) = delete;
  KeyStreamWriter& operator=(const KeyStreamWriter&) = delete;
  ~KeyStreamWriter();

  /// Replaces `path`. Empty, or what is wrong.
  std::string open(const std::string& path, uint64_t unix_ms);
  void append(StreamOp op, Bytes key, size_t value_bytes, bool absent) noexcept;
  /// Completes the header. Empty, or what is wrong.
  std::string close();
  uint64_t records() const noexcept { return records_; }

 private:
  bool write_header() noexcept;

  std::mutex mutex_;
  std::FILE* file_ = nullptr;
  std::string path_;
  uint64_t created_unix_ms_ = 0;
  uint64_t records_ = 0;
  int error_ = 0;  // errno of the first write that failed
};

/// All records of a file, at most `records_max`; or what is wrong with the file.
std::expected<std::vector<KeyStreamRecord>, std::string> read_key_stream(const std::string& path,
                                                                         uint64_t records_max);

}  // namespace dinomo::app
