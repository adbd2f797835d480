// SPDX-License-Identifier: BSD-3-Clause
// Transport over kernel UDP: one connected non-blocking socket per KN worker, all bound to one
// local port, sendmmsg and recvmmsg in batches. Datagrams larger than the path MTU are fragmented
// and reassembled by the kernel.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <memory>
#include <vector>

#include "client/transport.h"

namespace dinomo::client {

class UdpTransport final : public Transport {
 public:
  struct Options {
    uint32_t socket_buffer_bytes = 4u << 20;  // receive buffer asked for; the kernel may give less
  };

  /// kNoResource if sockets or memory cannot be had.
  static Result<std::unique_ptr<UdpTransport>> create(const Options& options);
  ~UdpTransport() override;

  Result<LinkId> open(const Address& to) override;
  void close(LinkId link) noexcept override;
  MutableBytes allocate(LinkId link, size_t bytes) noexcept override;
  void send(size_t bytes) noexcept override;
  void flush() noexcept override;
  uint32_t receive(std::span<Bytes> out) noexcept override;
  void wait(uint64_t timeout_ns) noexcept override;
  size_t datagram_bytes_max() const noexcept override { return kDatagramMax; }
  bool refused(LinkId link) const noexcept override { return links_[link].refused; }
  /// Polls readable (level-triggered) when something can be received; for event loops.
  int descriptor() const noexcept { return epoll_; }

 private:
  static constexpr size_t kDatagramMax = 65'000;
  static constexpr size_t kSmallBytes = 2048;
  static constexpr uint32_t kSendSlots = 64;
  static constexpr uint32_t kReceiveSlots = 64;
  // Not a power of two, so that the starts of the buffers do not share cache sets.
  static constexpr size_t kReceiveStride = 65'536 + 4096 + 192;

  struct Link {
    int fd = -1;
    bool refused = false;
    Address to;
  };
  struct SendSlot {
    LinkId link = 0;
    std::unique_ptr<std::byte[]> large;
    size_t large_bytes = 0;
  };

  explicit UdpTransport(const Options& options);
  int new_socket(const Address& to) noexcept;
  void note_error(Link& link, int error) noexcept;
  uint32_t receive_from(Link& link, std::span<Bytes> out, uint32_t slot) noexcept;
  uint32_t send_run(uint32_t first, uint32_t end) noexcept;

  Options options_;
  int epoll_ = -1;
  uint16_t local_port_ = 0;  // network order; 0 until the first link
  std::vector<Link> links_;
  uint32_t next_link_ = 0;  // where receive() goes on, so that no link starves the others

  uint32_t queued_ = 0;
  std::unique_ptr<std::byte[]> send_memory_;
  std::array<SendSlot, kSendSlots> slots_;
  std::array<iovec, kSendSlots> send_iov_{};
  std::array<mmsghdr, kSendSlots> send_header_{};

  std::unique_ptr<std::byte[]> receive_memory_;
  std::array<iovec, kReceiveSlots> receive_iov_{};
  std::array<mmsghdr, kReceiveSlots> receive_header_{};
};

}  // namespace dinomo::client
