// SPDX-License-Identifier: BSD-3-Clause
#include "dpm/pool_storage.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace dinomo::dpm {

namespace {

Status refuse(Status status, std::string* why, std::string text) {
  if (why != nullptr) *why = std::move(text);
  return status;
}

}  // namespace

std::string mib(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status status_of_errno(int error) noexcept {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return Status::kNotFound;
    case EEXIST: return Status::kExists;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM: return Status::kNoSpace;
    case EAGAIN:
    case EBUSY: return Status::kBusy;
    default: return Status::kInvalid;
  }
}

Status check_room(const std::string& path, uint64_t bytes, std::string* why) {
  const std::string directory = directory_of(path);
  struct stat info{};
  if (stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return refuse(Status::kNotFound, why,
                  "directory " + directory + " does not exist; create it or change `pool`");
  }
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    return refuse(Status::kInvalid, why,
                  "no permission to create a file in " + directory + " (" + std::strerror(errno) +
                      "); change its owner or mode, or change `pool`");
  }
  struct statvfs room{};
  if (statvfs(directory.c_str(), &room) != 0) return Status::kOk;
  const uint64_t free_bytes = uint64_t{room.f_bavail} * room.f_frsize;
  if (free_bytes >= bytes) return Status::kOk;
  return refuse(Status::kNoSpace, why,
                "a pool of " + mib(bytes) + " does not fit: " + directory + " has " +
                    mib(free_bytes) + " free; make room or set a smaller `pool_bytes`");
}

bool is_dax(const std::string& path) noexcept {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat info{};
  bool dax = fstat(fd, &info) == 0 && S_ISCHR(info.st_mode);
  if (!dax) {
    void* page = mmap(nullptr, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
    dax = page != MAP_FAILED;
    if (dax) munmap(page, 4096);
  }
  ::close(fd);
  return dax;
}

bool is_memory_file_system(const std::string& path) noexcept {
  struct statfs info{};
  if (statfs(path.c_str(), &info) != 0) return false;
  return info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC || info.f_type == HUGETLBFS_MAGIC;
}

bool make_durable(const std::string& path) noexcept {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool good = fsync(fd) == 0;
  ::close(fd);
  return good;
}

uint64_t device_bytes(const struct stat& info) noexcept {
  const std::string path = "/sys/dev/char/" + std::to_string(major(info.st_rdev)) + ":" +
                           std::to_string(minor(info.st_rdev)) + "/size";
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return 0;
  std::array<char, 32> text{};
  const size_t n = std::fread(text.data(), 1, text.size() - 1, file);
  std::fclose(file);
  return n == 0 ? 0 : std::strtoull(text.data(), nullptr, 10);
}

}  // namespace dinomo::dpm
