// SPDX-License-Identifier: BSD-3-Clause
// dinomo-softhca: a soft HCA as a process of its own. Programs that have the preload library reach
// it by its socket (DINOMO_SOFTHCA=PATH) and share it, as programs share a NIC: what they posted
// goes on after their death, until the kernel (here: the end of the linger time) destroys it.
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>

#include "common/fd_passing.h"
#include "drivers/fabric/mlx5/softhca/backend.h"
#include "drivers/fabric/mlx5/softhca/channel.h"

namespace dinomo::softhca {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

std::atomic<bool> stop_asked{false};

/// Memory of one process, mapped here.
class MappedMemory final : public AddressSpace {
 public:
  ~MappedMemory() override {
    for (const Region& r : regions_) ::munmap(r.host, r.bytes);
  }
  std::byte* translate(uint64_t address, uint64_t bytes) override {
    // The newest first: an address may have been mapped anew since.
    for (auto r = regions_.rbegin(); r != regions_.rend(); ++r) {
      if (address >= r->address && address + bytes <= r->address + r->bytes) {
        return r->host + (address - r->address);
      }
    }
    return nullptr;
  }
  int share(const ShareRequest& s, int fd) {
    if (s.piece_address == s.region_address) {
      void* host = ::mmap(nullptr, s.region_bytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (host == MAP_FAILED) return -ENOMEM;
      regions_.push_back({s.region_address, s.region_bytes, static_cast<std::byte*>(host)});
    }
    if (regions_.empty()) return -EINVAL;
    const Region& r = regions_.back();
    if (s.piece_address < r.address || s.piece_address + s.piece_bytes > r.address + r.bytes) {
      return -EINVAL;
    }
    std::byte* at = r.host + (s.piece_address - r.address);
    return map_file(fd, s.file_offset, s.piece_bytes, at) != nullptr ? 0 : -EFAULT;
  }

 private:
  struct Region {
    uint64_t address;
    uint64_t bytes;
    std::byte* host;
  };
  std::vector<Region> regions_;
};

/// A process that uses the device. Members go in reverse order: objects before their memory.
struct Process {
  explicit Process(Device& device, FileDescriptor connection)
      : socket(std::move(connection)),
        uar(make_memory_file("softhca-uar", kUarBytes)),
        uar_pages(map_file(uar.get(), 0, kUarBytes)),
        session(device, memory, uar_pages) {}
  ~Process() {
    if (uar_pages != nullptr) ::munmap(uar_pages, kUarBytes);
  }
  static constexpr uint64_t kUarBytes = uint64_t{kUarPages} * kUarPageBytes;

  FileDescriptor socket;
  FileDescriptor uar;
  std::byte* uar_pages;
  MappedMemory memory;
  Session session;
  SteadyTime destroy_at{};  // after its end
  bool gone = false;
};

int answer(Process& process, std::span<const std::byte> packet, int passed,
           std::vector<std::byte>* response, int* fd) {
  RequestHeader header{};
  std::memcpy(&header, packet.data(), sizeof header);
  const auto body = packet.subspan(sizeof header);
  switch (static_cast<RequestKind>(header.kind)) {
    case RequestKind::kOpen: *fd = process.uar.get(); return 0;
    case RequestKind::kShare: {
      ShareRequest share{};
      if (body.size() != sizeof share || passed < 0) return -EINVAL;
      std::memcpy(&share, body.data(), sizeof share);
      return process.memory.share(share, passed);
    }
    case RequestKind::kCommand: {
      Command command;
      if (!Command::parse(body, &command)) return -EINVAL;
      return process.session.handle(command, response);
    }
  }
  return -EINVAL;
}

/// False when the process has gone.
bool serve(Process& process) {
  std::vector<std::byte> packet(kChannelBytesMax);
  const ReceivedMessage got = receive_with_fd(process.socket.get(), packet, 0);
  if (got.bytes < static_cast<ssize_t>(sizeof(RequestHeader))) return false;
  packet.resize(static_cast<size_t>(got.bytes));
  std::vector<std::byte> response;
  int fd = -1;
  const ReplyHeader reply{answer(process, packet, got.fd.get(), &response, &fd), 0};
  std::vector<std::byte> message(sizeof reply + response.size());
  std::memcpy(message.data(), &reply, sizeof reply);
  if (!response.empty()) {
    std::memcpy(message.data() + sizeof reply, response.data(), response.size());
  }
  return send_with_fd(process.socket.get(), message, fd);
}

FileDescriptor listen_on(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ::unlink(path.c_str());
  if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 64) != 0) {
    return {};
  }
  return socket;
}

class Daemon {
 public:
  Daemon(const Faults& faults, FileDescriptor listener, std::chrono::milliseconds linger)
      : device_(faults), listener_(std::move(listener)), linger_(linger) {}

  void run() {
    device_.start();
    while (!stop_asked.load()) {
      turn();
      for (const Finding& f : device_.take_findings()) {
        std::fprintf(stderr, "finding: %s\n", to_string(f).c_str());
        ++findings_;
      }
    }
    device_.stop();
  }
  uint64_t findings() const noexcept { return findings_; }

 private:
  void turn() {
    std::vector<pollfd> waiting{{listener_.get(), POLLIN, 0}};
    for (const auto& p : processes_) waiting.push_back({p->gone ? -1 : p->socket.get(), POLLIN, 0});
    ::poll(waiting.data(), waiting.size(), 50);
    const SteadyTime now = std::chrono::steady_clock::now();
    for (size_t i = 1; i < waiting.size(); ++i) {
      Process& p = *processes_[i - 1];
      if (waiting[i].revents == 0 || serve(p)) continue;
      p.gone = true;
      p.destroy_at = now + linger_;
    }
    std::erase_if(processes_, [&](const auto& p) { return p->gone && p->destroy_at <= now; });
    if ((waiting[0].revents & POLLIN) == 0) return;
    FileDescriptor accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (accepted) processes_.push_back(std::make_unique<Process>(device_, std::move(accepted)));
  }

  Device device_;
  FileDescriptor listener_;
  std::chrono::milliseconds linger_;
  std::vector<std::unique_ptr<Process>> processes_;
  uint64_t findings_ = 0;
};

int run(int argc, char** argv) {
  CLI::App app("A soft HCA (model of a ConnectX) for programs with its library preloaded.");
  std::string path;
  uint32_t linger_ms = 0;
  Faults faults;
  app.add_option("--socket", path, "where programs reach it (DINOMO_SOFTHCA=)")->required();
  app.add_option("--linger-ms", linger_ms,
                 "a dead program's queue pairs live on for so long, as until a kernel cleans up");
  app.add_option("--seed", faults.seed, "of the faults");
  app.add_option("--delay-cqe", faults.delay_cqe, "chance of a late CQE, in 1/1000");
  app.add_option("--tear", faults.tear, "chance of a torn payload, in 1/1000");
  app.add_option("--read-again", faults.read_again, "chance of a READ fetched twice, in 1/1000");
  app.add_option("--stop-qp", faults.stop_qp, "chance of a QP failing by itself, in 1/1000");
  app.add_option("--pace-us", faults.pace_us, "a pause after a WQE of each queue pair");
  app.add_flag("--hca-only-atomics", faults.hca_only_atomics, "atomics are no atomics for CPUs");
  CLI11_PARSE(app, argc, argv);
  FileDescriptor listener = listen_on(path);
  if (!listener) {
    std::fprintf(stderr, "dinomo-softhca: cannot listen on '%s': %s\n", path.c_str(),
                 std::strerror(errno));
    return 1;
  }
  struct sigaction action{};
  action.sa_handler = [](int) { stop_asked.store(true); };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  std::printf("ready\n");
  std::fflush(stdout);
  Daemon daemon(faults, std::move(listener), std::chrono::milliseconds(linger_ms));
  daemon.run();
  ::unlink(path.c_str());
  return daemon.findings() == 0 ? 0 : 3;
}

}  // namespace

}  // namespace dinomo::softhca

int main(int argc, char** argv) {
  try {
    return dinomo::softhca::run(argc, argv);
  } catch (const std::exception& e) {
    std::fputs(e.what(), stderr);
    return 1;
  }
}
