// SPDX-License-Identifier: BSD-3-Clause
// Preloaded into any program that uses libibverbs (LD_PRELOAD=libdinomo_softhca_preload.so), makes
// it see a ConnectX "mlx5_0" that is a soft HCA. Debian's libibverbs and libmlx5 run as they are:
// what they ask of /sys and of /dev/infiniband/uverbs0 is answered here, by taking over the libc
// functions that they call. Nothing else in the process notices.
//
//   DINOMO_SOFTHCA=PATH      the device process that listens there; unset: a device in this process
//   DINOMO_SOFTHCA_STEPPED=1 the device in this process runs only in dinomo_softhca_step()
//   DINOMO_SOFTHCA_TRACE=1   each command to stderr
// With it the headers would rename open, stat and mmap, which libibverbs calls by these names.
#undef _FILE_OFFSET_BITS

#include <fcntl.h>
#include <linux/netlink.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/mlx5-abi.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "drivers/fabric/mlx5/softhca/backend.h"

namespace dinomo::softhca {

namespace {

constexpr unsigned kMajor = 231;  // of uverbs
constexpr unsigned kMinor = 192;
constexpr int kFindingsStatus = 3;  // of the process, as dinomo-softhca does
constexpr const char* kDevice = "/dev/infiniband/uverbs0";

Backend* backend = nullptr;
std::atomic<int> device_fd{-1};
std::atomic<bool> removed{false};
std::mutex async_mutex;
std::vector<int> async_ends;  // where the kernel would write events of an opened device
bool trace = false;
char sysfs[] = "/tmp/softhca-sysfs-XXXXXX";

struct SysFile {
  const char* path;
  const char* text;
};
constexpr std::array kSysFiles{
    SysFile{"class/infiniband_verbs/abi_version", "6\n"},
    SysFile{"class/infiniband_verbs/uverbs0/ibdev", "mlx5_0\n"},
    SysFile{"class/infiniband_verbs/uverbs0/abi_version", "1\n"},
    SysFile{"class/infiniband_verbs/uverbs0/dev", "231:192\n"},
    SysFile{"class/infiniband/mlx5_0/node_type", "1: CA\n"},
    SysFile{"class/infiniband/mlx5_0/fw_ver", "28.31.1014\n"},
    SysFile{"class/infiniband/mlx5_0/device/modalias",
            "pci:v000015B3d00001021sv000015B3sd00000001bc02sc07i00\n"},
    SysFile{"class/infiniband/mlx5_0/device/vendor", "0x15b3\n"},
    SysFile{"class/infiniband/mlx5_0/device/device", "0x1021\n"},
    SysFile{"class/infiniband/mlx5_0/ports/1/gids/0", "0000:0000:0000:0000:0000:ffff:7f00:0001\n"},
    SysFile{"class/infiniband/mlx5_0/ports/1/gid_attrs/types/0", "RoCE v2\n"},
    SysFile{"class/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/0", "lo\n"},
};

void write_file(const std::string& path, const char* text) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    ::syscall(SYS_mkdirat, AT_FDCWD, path.substr(0, slash).c_str(), 0755);
  }
  const auto fd =
      static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path.c_str(), O_CREAT | O_WRONLY, 0644));
  if (fd < 0) return;
  ::syscall(SYS_write, fd, text, std::strlen(text));
  ::syscall(SYS_close, fd);
}

void make_sysfs() {
  if (::mkdtemp(sysfs) == nullptr) return;
  for (const SysFile& file : kSysFiles) {
    write_file(std::string(sysfs) + "/" + file.path, file.text);
  }
  ::setenv("SYSFS_PATH", sysfs, 1);
}

void remove_sysfs() {
  for (const SysFile& file : kSysFiles) {
    std::string path = std::string(sysfs) + "/" + file.path;
    ::unlink(path.c_str());
    while (path.size() > std::strlen(sysfs)) {  // folders, as far as they are empty
      path.resize(path.rfind('/'));
      if (::rmdir(path.c_str()) != 0) break;
    }
  }
}

__attribute__((constructor)) void begin() {
  trace = std::getenv("DINOMO_SOFTHCA_TRACE") != nullptr;
  const char* path = std::getenv("DINOMO_SOFTHCA");
  const bool stepped = std::getenv("DINOMO_SOFTHCA_STEPPED") != nullptr;
  auto made = path != nullptr ? connect_backend(path) : make_local_backend({}, stepped);
  if (made == nullptr) {
    std::fprintf(stderr, "softhca: no device process listens on '%s'; start dinomo-softhca there\n",
                 path);
    return;
  }
  make_sysfs();
  backend = made.release();
}

__attribute__((destructor)) void end() {
  if (backend == nullptr) return;
  remove_sysfs();
  const std::vector<std::string> findings = backend->findings();
  if (findings.empty()) return;
  for (const std::string& line : findings) std::fprintf(stderr, "finding: %s\n", line.c_str());
  std::fflush(nullptr);
  ::_exit(kFindingsStatus);
}

bool is_device(const char* path) noexcept {
  return backend != nullptr && std::strcmp(path, kDevice) == 0;
}
bool is_device(int fd) noexcept { return fd >= 0 && fd == device_fd.load(); }

void describe(struct stat* s) noexcept {
  std::memset(s, 0, sizeof *s);
  s->st_mode = S_IFCHR | 0666;
  s->st_rdev = makedev(kMajor, kMinor);
}

int make_async_file() {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return -1;
  const std::lock_guard lock(async_mutex);
  async_ends.push_back(ends[1]);
  return ends[0];
}

/// As when the kernel takes a device away: an event for who has it open, and nothing works.
void take_out() {
  removed.store(true);
  backend->take_out(true);
  const ib_uverbs_async_event_desc event{0, IBV_EVENT_DEVICE_FATAL, 0};
  const std::lock_guard lock(async_mutex);
  for (const int end : async_ends) {
    ::send(end, &event, sizeof event, MSG_NOSIGNAL);
    ::syscall(SYS_close, end);
  }
  async_ends.clear();
}

void put_back() {
  backend->take_out(false);
  removed.store(false);
}

ssize_t run_command(const void* bytes, size_t size) {
  const std::span<const std::byte> view(static_cast<const std::byte*>(bytes), size);
  Command command;
  if (!Command::parse(view, &command)) {
    errno = EINVAL;
    return -1;
  }
  if (removed.load()) {
    errno = EIO;
    return -1;
  }
  std::vector<std::byte> response;
  const int result = backend->handle(view, command, &response);
  if (trace) std::fprintf(stderr, "softhca: command %u: %d\n", command.number, result);
  if (result != 0) {
    errno = -result;
    return -1;
  }
  if (command.number == IB_USER_VERBS_CMD_GET_CONTEXT &&
      response.size() >= sizeof(ib_uverbs_get_context_resp)) {
    reinterpret_cast<ib_uverbs_get_context_resp*>(response.data())->async_fd =
        static_cast<uint32_t>(make_async_file());
  }
  if (command.response_address != 0) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
    std::memcpy(reinterpret_cast<void*>(command.response_address), response.data(),
                response.size());
  }
  return static_cast<ssize_t>(size);
}

/// Page of the UAR file that a mapping of the device asks for, -1: none.
int uar_page(off_t offset) noexcept {
  const uint64_t page = static_cast<uint64_t>(offset) / kUarPageBytes;
  const uint64_t command = page >> 8 & 0xff;
  const uint64_t index = (page & 0xff) | (page >> 16) << 8;
  if (command == MLX5_IB_MMAP_ALLOC_WC) return static_cast<int>(kStaticUarPages + index);
  if (command <= MLX5_IB_MMAP_NC_PAGE && index < kStaticUarPages) return static_cast<int>(index);
  return -1;
}

}  // namespace

}  // namespace dinomo::softhca

namespace hca = dinomo::softhca;

extern "C" {

/// For measurements: carries out what was rung, on the caller's thread.
void dinomo_softhca_step() {
  if (hca::backend != nullptr) hca::backend->step();
}

/// For tests, with the device in this process: it is taken out, or put back.
void dinomo_softhca_take_out(bool out) {
  if (hca::backend == nullptr) return;
  out ? hca::take_out() : hca::put_back();
}

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const auto mode = static_cast<mode_t>(va_arg(list, int));
  va_end(list);
  if (hca::is_device(path)) {
    if (hca::removed.load()) {
      errno = ENODEV;
      return -1;
    }
    // One process, one device: opening it again gives the same.
    if (hca::device_fd.load() < 0) hca::device_fd.store(::eventfd(0, EFD_CLOEXEC));
    return hca::device_fd.load();
  }
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int close(int fd) {
  if (hca::is_device(fd)) return 0;  // stays open for the next
  return static_cast<int>(::syscall(SYS_close, fd));
}

int stat(const char* path, struct stat* s) noexcept {
  if (hca::is_device(path)) {
    hca::describe(s);
    return 0;
  }
  return static_cast<int>(::syscall(SYS_newfstatat, AT_FDCWD, path, s, 0));
}

int fstat(int fd, struct stat* s) noexcept {
  if (hca::is_device(fd)) {
    hca::describe(s);
    return 0;
  }
  return static_cast<int>(::syscall(SYS_fstat, fd, s));
}

int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  if (hca::is_device(fd)) {
    errno = ENOTTY;  // as from an old kernel: libibverbs writes commands then
    return -1;
  }
  return static_cast<int>(::syscall(SYS_ioctl, fd, request, argument));
}

ssize_t write(int fd, const void* bytes, size_t size) {
  if (hca::is_device(fd)) return hca::run_command(bytes, size);
  return ::syscall(SYS_write, fd, bytes, size);
}

void* mmap(void* at, size_t bytes, int rights, int flags, int fd, off_t offset) noexcept {
  if (hca::is_device(fd)) {
    const int page = hca::uar_page(offset);
    if (page < 0 || page >= static_cast<int>(hca::kUarPages)) {
      errno = EINVAL;
      return MAP_FAILED;
    }
    fd = hca::backend->uar_file();
    offset = page * off_t{hca::kUarPageBytes};
    rights |= PROT_READ;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
  return reinterpret_cast<void*>(::syscall(SYS_mmap, at, bytes, rights, flags, fd, offset));
}

/// Listing by netlink would show the machine's real devices.
int socket(int domain, int type, int protocol) noexcept {
  if (hca::backend != nullptr && domain == AF_NETLINK && protocol == NETLINK_RDMA) {
    errno = EPROTONOSUPPORT;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_socket, domain, type, protocol));
}

}  // extern "C"
