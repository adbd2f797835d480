// SPDX-License-Identifier: BSD-3-Clause
// An ingress queue that is only memory: hands out datagrams that were made before, swallows
// replies. It allocates nothing after construction, so that what is timed around it is the engine.
//
// Thread rule: one thread.
#pragma once

#include <functional>
#include <vector>

#include "ingress/ingress.h"
#include "wire/codec.h"

namespace dinomo::bench {

class ReplayQueue final : public ingress::Queue {
 public:
  /// Room for `bytes` of requests a script.
  explicit ReplayQueue(size_t bytes) : memory_(bytes), transmit_(kTransmitBuffers) {}

  // The script ------------------------------------------------------------------------------------

  void clear() noexcept {
    script_.clear();
    used_ = next_ = 0;
  }
  bool fits(size_t bytes) const noexcept { return used_ + bytes <= memory_.size(); }
  /// Where the next datagram is to be written; add() takes it into the script.
  MutableBytes room() noexcept { return MutableBytes(memory_).subspan(used_); }
  void add(const ingress::Peer& peer, size_t bytes) {
    script_.push_back({peer, Bytes(memory_).subspan(used_, bytes), this});
    used_ = align_up<size_t>(used_ + bytes, 64);
  }
  /// At most so many datagrams a turn: a worker that found no end of them would refuse some.
  void set_burst(uint32_t datagrams) noexcept { burst_ = datagrams; }
  bool finished() const noexcept { return next_ == script_.size(); }

  // What came back --------------------------------------------------------------------------------

  uint64_t replies() const noexcept { return replies_; }
  /// Sees every reply datagram while it is set; not while time is measured.
  void on_reply(std::function<void(Bytes)> check) { check_ = std::move(check); }

  // ingress::Queue --------------------------------------------------------------------------------

  uint32_t receive(std::span<ingress::Datagram> out) noexcept override {
    const size_t left = script_.size() - next_;
    const auto n = static_cast<uint32_t>(std::min<size_t>({out.size(), left, burst_ - given_}));
    given_ += n;
    std::copy_n(script_.begin() + static_cast<ptrdiff_t>(next_), n, out.begin());
    next_ += n;
    counters_.datagrams_in += n;
    return n;
  }
  void release(std::span<ingress::Datagram>) noexcept override {}
  ingress::TransmitBuffer allocate(const ingress::Peer& peer) noexcept override {
    Frame& frame = transmit_[turn_++ % kTransmitBuffers];
    return {frame.bytes, peer, &frame};
  }
  void send(const ingress::TransmitBuffer& buffer, size_t bytes) noexcept override {
    replies_ += load<uint16_t>(buffer.payload.data() + offsetof(wire::DatagramHeader, messages));
    ++counters_.datagrams_out;
    counters_.bytes_out += bytes;
    if (check_) check_(Bytes(buffer.payload).first(bytes));
  }
  void drop(const ingress::TransmitBuffer&) noexcept override {}
  bool send_pieces(const ingress::Peer&, std::span<const Bytes> pieces) noexcept override {
    size_t bytes = 0;
    for (const Bytes piece : pieces) bytes += piece.size();
    replies_ += load<uint16_t>(pieces.front().data() + offsetof(wire::DatagramHeader, messages));
    ++counters_.datagrams_out;
    counters_.bytes_out += bytes;
    return true;
  }
  void flush() noexcept override { given_ = 0; }  // a turn ends

 private:
  static constexpr size_t kTransmitBuffers = 256;  // as many as a port's ring would cycle through
  struct alignas(64) Frame {
    std::array<std::byte, wire::kDatagramBytesMax> bytes;
  };

  std::vector<std::byte> memory_;
  std::vector<Frame> transmit_;
  std::vector<ingress::Datagram> script_;
  size_t used_ = 0;
  size_t next_ = 0;
  size_t turn_ = 0;
  uint32_t burst_ = 32;
  uint32_t given_ = 0;  // in this turn
  uint64_t replies_ = 0;
  std::function<void(Bytes)> check_;
};

}  // namespace dinomo::bench
