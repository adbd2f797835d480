// SPDX-License-Identifier: BSD-3-Clause
// An ingress queue without a network for tests of the engine: the test puts datagrams in and takes
// replies out.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "ingress/ingress.h"
#include "test/support/allocations.h"
#include "wire/format.h"

namespace dinomo::test {

class LoopbackQueue final : public ingress::Queue {
 public:
  struct Sent {
    ingress::Peer peer;
    std::vector<std::byte> payload = {};
  };

  void put(const ingress::Peer& peer, Bytes payload) {
    if (waiting_.size() >= waiting_max) return;  // as a port does
    waiting_.push_back({peer, std::vector<std::byte>(payload.begin(), payload.end())});
  }
  std::vector<Sent> take() { return std::exchange(sent_, {}); }
  size_t held() const { return held_.size(); }      // received and not released
  size_t open_buffers() const { return buffers_; }  // allocated, neither sent nor dropped

  uint32_t receive(std::span<ingress::Datagram> out) noexcept override {
    const Counting none(false);
    uint32_t n = 0;
    while (n < out.size() && !waiting_.empty()) {
      held_.push_back(std::make_unique<Sent>(std::move(waiting_.front())));
      waiting_.pop_front();
      out[n++] = {held_.back()->peer, held_.back()->payload, held_.back().get()};
    }
    counters_.datagrams_in += n;
    if (on_receive) on_receive(n);
    return n;
  }
  void release(std::span<ingress::Datagram> datagrams) noexcept override {
    const Counting none(false);
    for (const ingress::Datagram& d : datagrams) {
      std::erase_if(held_, [&](const auto& h) { return h.get() == d.handle; });
    }
    if (on_release) on_release();
  }
  ingress::TransmitBuffer allocate(const ingress::Peer& peer) noexcept override {
    const Counting none(false);
    if (buffers_ == buffers_max) {
      ++counters_.no_buffer;
      return {};
    }
    ++buffers_;
    auto* bytes = new std::vector<std::byte>(wire::kDatagramBytesMax);
    return {*bytes, peer, bytes};
  }
  void send(const ingress::TransmitBuffer& buffer, size_t bytes) noexcept override {
    const Counting none(false);
    std::unique_ptr<std::vector<std::byte>> owned(
        static_cast<std::vector<std::byte>*>(buffer.handle));
    owned->resize(bytes);
    sent_.push_back({buffer.peer, std::move(*owned)});
    ++counters_.datagrams_out;
    --buffers_;
  }
  void drop(const ingress::TransmitBuffer& buffer) noexcept override {
    delete static_cast<std::vector<std::byte>*>(buffer.handle);
    --buffers_;
  }
  bool send_pieces(const ingress::Peer& peer, std::span<const Bytes> pieces) noexcept override {
    const Counting none(false);
    Sent& sent = sent_.emplace_back(peer);
    for (const Bytes piece : pieces) {
      sent.payload.insert(sent.payload.end(), piece.begin(), piece.end());
    }
    ++counters_.datagrams_out;
    return true;
  }
  void flush() noexcept override {}

  size_t buffers_max = 1024;
  size_t waiting_max = SIZE_MAX;
  std::function<void(uint32_t received)> on_receive;
  std::function<void()> on_release;

 private:
  std::deque<Sent> waiting_;
  std::vector<std::unique_ptr<Sent>> held_;
  std::vector<Sent> sent_;
  size_t buffers_ = 0;
};

}  // namespace dinomo::test
