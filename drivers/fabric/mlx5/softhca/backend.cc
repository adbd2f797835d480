// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/fabric/mlx5/softhca/backend.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "common/fd_passing.h"
#include "drivers/fabric/mlx5/softhca/channel.h"
#include "drivers/fabric/mlx5/softhca/share_memory.h"

namespace dinomo::softhca {

int make_memory_file(const char* name, uint64_t bytes) {
  const auto fd = static_cast<int>(::syscall(SYS_memfd_create, name, MFD_CLOEXEC));
  if (fd >= 0 && ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

std::byte* map_file(int fd, uint64_t offset, uint64_t bytes, void* at) {
  const int flags = MAP_SHARED | (at != nullptr ? MAP_FIXED : 0);
  const auto address = ::syscall(SYS_mmap, at, bytes, PROT_READ | PROT_WRITE, flags, fd, offset);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
  return address == -1 ? nullptr : reinterpret_cast<std::byte*>(address);
}

namespace {

class SameAddresses final : public AddressSpace {
 public:
  std::byte* translate(uint64_t address, uint64_t) override {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what comes
    return reinterpret_cast<std::byte*>(address);
  }
};

class LocalBackend final : public Backend {
 public:
  LocalBackend(const Faults& faults, bool stepped)
      : uar_(make_memory_file("softhca-uar", uint64_t{kUarPages} * kUarPageBytes)),
        device_(faults),
        session_(device_, space_, map_file(uar_.get(), 0, uint64_t{kUarPages} * kUarPageBytes)) {
    if (!stepped) device_.start();
  }
  int handle(std::span<const std::byte>, const Command& command,
             std::vector<std::byte>* response) override {
    const std::lock_guard lock(mutex_);
    return session_.handle(command, response);
  }
  int uar_file() const override { return uar_.get(); }
  std::vector<std::string> findings() override {
    std::vector<std::string> lines;
    for (const Finding& f : device_.take_findings()) lines.push_back(to_string(f));
    return lines;
  }
  void take_out(bool out) override {
    const std::lock_guard lock(mutex_);
    if (!out) return device_.start();
    device_.stop();
    session_.destroy_all();
  }
  void step() override {
    while (device_.step()) {
    }
  }

 private:
  FileDescriptor uar_;
  SameAddresses space_;
  Device device_;
  Session session_;
  std::mutex mutex_;
};

class RemoteBackend final : public Backend {
 public:
  bool open(const std::string& path);
  int handle(std::span<const std::byte> bytes, const Command& command,
             std::vector<std::byte>* response) override;
  int uar_file() const override { return uar_.get(); }

 private:
  int ask(RequestKind kind, std::span<const std::byte> body, int fd,
          std::vector<std::byte>* response, FileDescriptor* passed);

  FileDescriptor socket_;
  FileDescriptor uar_;
  MemorySharer sharer_;
  std::mutex mutex_;
};

bool RemoteBackend::open(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  socket_ = FileDescriptor(
      static_cast<int>(::syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
  if (!socket_ ||
      ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return false;
  }
  std::vector<std::byte> none;
  return ask(RequestKind::kOpen, {}, -1, &none, &uar_) == 0 && uar_;
}

int RemoteBackend::ask(RequestKind kind, std::span<const std::byte> body, int fd,
                       std::vector<std::byte>* response, FileDescriptor* passed) {
  std::vector<std::byte> packet(sizeof(RequestHeader) + body.size());
  const RequestHeader header{static_cast<uint32_t>(kind), 0};
  std::memcpy(packet.data(), &header, sizeof header);
  if (!body.empty()) std::memcpy(packet.data() + sizeof header, body.data(), body.size());
  if (!send_with_fd(socket_.get(), packet, fd)) return -EIO;
  std::vector<std::byte> reply(kChannelBytesMax);
  ReceivedMessage got = receive_with_fd(socket_.get(), reply, 0);
  if (got.bytes < static_cast<ssize_t>(sizeof(ReplyHeader))) return -EIO;
  *passed = std::move(got.fd);
  ReplyHeader answer{};
  std::memcpy(&answer, reply.data(), sizeof answer);
  response->assign(reply.begin() + sizeof answer, reply.begin() + got.bytes);
  return answer.result;
}

int RemoteBackend::handle(std::span<const std::byte> bytes, const Command& command,
                          std::vector<std::byte>* response) {
  const std::lock_guard lock(mutex_);
  FileDescriptor none;
  for (const UserMemory& memory : command.memory()) {
    std::vector<SharedPiece> pieces;
    if (!sharer_.share(memory, &pieces)) return -EFAULT;
    for (const SharedPiece& piece : pieces) {
      const auto* body = reinterpret_cast<const std::byte*>(&piece.request);
      const int result =
          ask(RequestKind::kShare, {body, sizeof piece.request}, piece.file.get(), response, &none);
      if (result != 0) return result;
    }
  }
  return ask(RequestKind::kCommand, bytes, -1, response, &none);
}

}  // namespace

std::unique_ptr<Backend> make_local_backend(const Faults& faults, bool stepped) {
  return std::make_unique<LocalBackend>(faults, stepped);
}

std::unique_ptr<Backend> connect_backend(const std::string& path) {
  auto backend = std::make_unique<RemoteBackend>();
  if (!backend->open(path)) return nullptr;
  return backend;
}

}  // namespace dinomo::softhca
