// SPDX-License-Identifier: BSD-3-Clause
#include "app/common/key_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace dinomo::app {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

uint64_t checksum_of(const KeyStreamHeader& header) noexcept {
  return checksum64(object_bytes(header).first(offsetof(KeyStreamHeader, checksum)));
}

struct Close {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

std::unexpected<std::string> refuse(const std::string& path, const std::string& why) {
  return std::unexpected(path + ": " + why);
}

/// Empty, or why the header is not one.
std::string check_header(const KeyStreamHeader& h) {
  if (h.magic != KeyStreamHeader::kMagic) {
    return "not a recording (make one with dinomo-bench --record FILE)";
  }
  if (h.format_version != KeyStreamHeader::kVersion) {
    return fmt::format("recording of version {}, this program reads version {}", h.format_version,
                       KeyStreamHeader::kVersion);
  }
  if (h.checksum != checksum_of(h)) return "the header's checksum is wrong: the file is damaged";
  if (h.header_bytes != sizeof h || h.record_bytes != sizeof(KeyStreamRecord)) {
    return fmt::format("header of {} and records of {} bytes, expected {} and {}", h.header_bytes,
                       h.record_bytes, sizeof h, sizeof(KeyStreamRecord));
  }
  return "";
}

}  // namespace

KeyStreamWriter::~KeyStreamWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

bool KeyStreamWriter::write_header() noexcept {
  KeyStreamHeader h{.magic = KeyStreamHeader::kMagic,
                    .format_version = KeyStreamHeader::kVersion,
                    .header_bytes = sizeof(KeyStreamHeader),
                    .record_bytes = sizeof(KeyStreamRecord),
                    .reserved = 0,
                    .created_unix_ms = created_unix_ms_,
                    .records = records_,
                    .checksum = 0};
  h.checksum = checksum_of(h);
  return std::fwrite(&h, sizeof h, 1, file_) == 1;
}

std::string KeyStreamWriter::open(const std::string& path, uint64_t unix_ms) {
  path_ = path;
  created_unix_ms_ = unix_ms;
  file_ = std::fopen(path.c_str(), "wb");
  if (file_ == nullptr) return fmt::format("cannot write {}: {}", path, std::strerror(errno));
  std::setvbuf(file_, nullptr, _IOFBF, kBufferBytes);
  if (!write_header()) return fmt::format("cannot write {}: {}", path, std::strerror(errno));
  return "";
}

void KeyStreamWriter::append(StreamOp op, Bytes key, size_t value_bytes, bool absent) noexcept {
  const KeyStreamRecord record{.key_hash = key_hash(key, 0),
                               .value_bytes = static_cast<uint32_t>(value_bytes),
                               .key_bytes = static_cast<uint8_t>(key.size()),
                               .op = static_cast<uint8_t>(op),
                               .flags = absent ? KeyStreamRecord::kAbsent : uint8_t{0},
                               .reserved = 0};
  const std::lock_guard lock(mutex_);
  if (error_ != 0) return;
  if (std::fwrite(&record, sizeof record, 1, file_) == 1) {
    ++records_;
  } else {
    error_ = errno;
  }
}

std::string KeyStreamWriter::close() {
  if (file_ == nullptr) return "";
  if (std::fflush(file_) != 0 && error_ == 0) error_ = errno;
  // After a failed write the file's length says how many records it has, so the header stays at 0.
  if (error_ == 0 && (std::fseek(file_, 0, SEEK_SET) != 0 || !write_header())) error_ = errno;
  if (std::fclose(file_) != 0 && error_ == 0) error_ = errno;
  file_ = nullptr;
  if (error_ == 0) return "";
  return fmt::format("cannot write all of {}: {}; what was written can be replayed", path_,
                     std::strerror(error_));
}

std::expected<std::vector<KeyStreamRecord>, std::string> read_key_stream(const std::string& path,
                                                                         uint64_t records_max) {
  const File file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) return refuse(path, std::strerror(errno));
  KeyStreamHeader header{};
  if (std::fread(&header, sizeof header, 1, file.get()) != 1) {
    return refuse(path, "shorter than a recording's header");
  }
  if (const std::string wrong = check_header(header); !wrong.empty()) return refuse(path, wrong);
  const uint64_t wanted = header.records == 0 ? records_max : std::min(header.records, records_max);
  std::vector<KeyStreamRecord> records;
  constexpr size_t kChunk = 65536;
  while (records.size() < wanted) {
    const size_t had = records.size();
    const size_t chunk = std::min<uint64_t>(kChunk, wanted - had);
    records.resize(had + chunk);
    const size_t got = std::fread(records.data() + had, sizeof(KeyStreamRecord), chunk, file.get());
    records.resize(had + got);
    if (got < chunk || std::feof(file.get()) != 0 || std::ferror(file.get()) != 0) break;
  }
  if (header.records != 0 && records.size() < wanted) {
    return refuse(path, fmt::format("has {} of {} records: the file was cut short", records.size(),
                                    header.records));
  }
  for (size_t i = 0; i < records.size(); ++i) {
    if (records[i].op == 0 || records[i].op > kStreamOpLast) {
      return refuse(path, fmt::format("record {} has the unknown operation {}", i, records[i].op));
    }
  }
  return records;
}

}  // namespace dinomo::app
