// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <deque>
#include <vector>

#include "client/transport.h"
#include "test/support/engine_world.h"

namespace dinomo::test {

/// A client's end of the world's network.
class WorldTransport final : public client::Transport {
 public:
  WorldTransport(EngineWorld* world, uint16_t port) : world_(world) {
    peer_.remote_address[15] = 9;
    peer_.remote_port = port;
  }
  Result<client::LinkId> open(const client::Address&) override { return 0; }
  void close(client::LinkId) noexcept override {}
  MutableBytes allocate(client::LinkId, size_t bytes) noexcept override {
    buffer_.assign(bytes, std::byte{0});
    return buffer_;
  }
  void send(size_t bytes) noexcept override {
    world_->network.put(peer_, Bytes(buffer_).first(bytes));
  }
  void flush() noexcept override {}
  uint32_t receive(std::span<Bytes> out) noexcept override {
    given_.clear();
    uint32_t n = 0;
    while (n < out.size() && !replies.empty()) {
      given_.push_back(std::move(replies.front()));
      replies.pop_front();
      out[n++] = given_.back();
    }
    return n;
  }
  void wait(uint64_t) noexcept override {}
  size_t datagram_bytes_max() const noexcept override { return wire::kDatagramBytesMax; }
  bool refused(client::LinkId) const noexcept override { return false; }
  uint16_t port() const { return peer_.remote_port; }

  bool deaf = false;  // what is sent to it is lost
  std::deque<std::vector<std::byte>> replies;

 private:
  EngineWorld* world_;
  ingress::Peer peer_;
  std::vector<std::byte> buffer_;
  std::deque<std::vector<std::byte>> given_;
};

}  // namespace dinomo::test
