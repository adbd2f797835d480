// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/mlx5/softhca/share_memory.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "drivers/fabric/mlx5/softhca/backend.h"

namespace dinomo::softhca {

namespace {

constexpr uint64_t kPageBytes = 4096;

struct Mapping {
  uint64_t begin;
  uint64_t end;
  uint64_t offset;
  uint64_t inode;
  bool shared;
};

std::string read_all(const char* path) {
  std::string text;
  const auto fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0));
  if (fd < 0) return text;
  char buffer[16384];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  ::close(fd);
  return text;
}

std::vector<Mapping> mappings(uint64_t begin, uint64_t end) {
  std::vector<Mapping> found;
  const std::string text = read_all("/proc/self/maps");
  size_t at = 0;
  while (at < text.size()) {
    const size_t line_end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, line_end - at);
    at = line_end + 1;
    unsigned long first = 0;
    unsigned long last = 0;
    unsigned long offset = 0;
    unsigned long inode = 0;
    char rights[8] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %7s %lx %*s %lu", &first, &last, rights, &offset,
                    &inode) != 5 ||
        first >= end || last <= begin) {
      continue;
    }
    found.push_back({first, last, offset, inode, rights[3] == 's'});
  }
  return found;
}

/// The file behind a shared mapping, also when it has no name any more.
FileDescriptor open_mapped(const Mapping& m) {
  char path[96];
  std::snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx",
                static_cast<unsigned long>(m.begin), static_cast<unsigned long>(m.end));
  return FileDescriptor(
      static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0)));
}

/// Private pages become pages of a memfd: same addresses, same bytes.
FileDescriptor replace(uint64_t begin, uint64_t end) {
  const uint64_t bytes = end - begin;
  FileDescriptor file(make_memory_file("softhca-memory", bytes));
  if (!file) return file;
  std::byte* copy = map_file(file.get(), 0, bytes);
  if (copy == nullptr) return {};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
  std::memcpy(copy, reinterpret_cast<const void*>(begin), bytes);
  ::syscall(SYS_munmap, copy, bytes);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
  if (map_file(file.get(), 0, bytes, reinterpret_cast<void*>(begin)) == nullptr) return {};
  return file;
}

/// What is behind a range now; empty if a part of it is private. Addresses are used again for other
/// memory, so an address alone says nothing.
std::string identity(uint64_t begin, uint64_t end) {
  std::string text;
  for (const Mapping& m : mappings(begin, end)) {
    if (!m.shared) return {};
    const uint64_t first = std::max(m.begin, begin);
    text += std::to_string(first) + ":" + std::to_string(m.inode) + "+" +
            std::to_string(m.offset + (first - m.begin)) + " ";
  }
  return text;
}

}  // namespace

bool MemorySharer::share(const UserMemory& memory, std::vector<SharedPiece>* pieces) {
  const uint64_t begin = memory.address & ~(kPageBytes - 1);
  const uint64_t end = (memory.address + memory.bytes + kPageBytes - 1) & ~(kPageBytes - 1);
  if (begin == end) return true;
  const auto known = shared_.find({begin, end});
  if (known != shared_.end() && known->second == identity(begin, end)) return true;
  uint64_t at = begin;
  for (const Mapping& m : mappings(begin, end)) {
    const uint64_t first = std::max(m.begin, begin);
    const uint64_t last = std::min(m.end, end);
    if (first != at) return false;  // a hole
    SharedPiece piece;
    piece.request = {begin, end - begin, first, last - first, 0};
    if (m.shared) {
      piece.request.file_offset = m.offset + (first - m.begin);
      piece.file = open_mapped(m);
    } else {
      piece.file = replace(first, last);
    }
    if (!piece.file) return false;
    pieces->push_back(std::move(piece));
    at = last;
  }
  if (at != end) return false;
  shared_[{begin, end}] = identity(begin, end);
  return true;
}

}  // namespace dinomo::softhca
