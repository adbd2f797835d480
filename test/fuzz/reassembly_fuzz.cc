// SPDX-License-Identifier: BSD-3-Clause
// Fragments of known datagrams, cut, repeated, reordered, overlapped and damaged as the input says:
// what is completed is one of the datagrams, byte for byte, and no memory is lost.
//
// The input is a list of steps of 6 bytes: which datagram, offset and length in units of 8 bytes,
// and what is done to the fragment. The same bytes also go, as a frame, through sort_frame().
//
// Damage sets the lowest bit of a 16-bit word, and never clears one: damage to several fragments of
// one datagram then adds up to less than 65,535 and cannot cancel out in the ones' complement sum,
// as flipped bits can. What the sum must see, it sees.

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "ingress/fragment.h"
#include "test/fuzz/fuzz.h"

namespace dinomo::ingress {
namespace {

constexpr size_t kStepBytes = 6;
constexpr std::array<size_t, 8> kSizes{8, 9, 600, 1481, 3000, 5003, 20'000, 65'515};

class Memory final : public LargeDatagrams {
 public:
  static constexpr size_t kCount = 5;
  Memory() {
    for (auto& d : all_) free_.push_back((d = std::make_unique<LargeDatagram>()).get());
  }
  LargeDatagram* take() noexcept override {
    if (free_.empty()) return nullptr;
    LargeDatagram* const d = free_.back();
    free_.pop_back();
    return d;
  }
  void give(LargeDatagram* d) noexcept override { free_.push_back(d); }
  size_t free() const { return free_.size(); }

 private:
  std::array<std::unique_ptr<LargeDatagram>, kCount> all_;
  std::vector<LargeDatagram*> free_;
};

struct World {
  World() {
    us.base_port = 9000;
    us.ports = 1;
    us.mac = {2, 0, 0, 0, 0, 1};
    us.add(*parse_address("10.0.0.2/24"));
    us.add(*parse_address("fd00::2/64"));
    peer.remote_address = mapped_ipv4(net32(0x0a00'0009));
    peer.local_address = mapped_ipv4(us.ipv4[0]);
    peer.remote_port = 9000;  // these are sent to us: our port is the destination
    peer.local_port = 4000;
    for (size_t i = 0; i < kSizes.size(); ++i) {
      std::vector<std::byte>& s = segments[i];
      s.resize(kSizes[i]);
      for (size_t b = sizeof(UdpHeader); b < s.size(); ++b) {
        s[b] = static_cast<std::byte>(b * 31 + b / 256 + i);
      }
      const size_t payload = s.size() - sizeof(UdpHeader);
      store(s.data(), large_udp_header(peer, payload));
      const uint16_t checksum = large_udp_checksum(peer, payload, sum_words(s));
      store(s.data() + offsetof(UdpHeader, checksum), checksum);
    }
  }
  Endpoint us;
  Peer peer;
  std::array<std::vector<std::byte>, kSizes.size()> segments;
  Memory memory;
};

void step(const World& world, Reassembler* reassembler, Memory* memory, const uint8_t* in,
          uint64_t now_us) {
  const size_t which = in[0] % kSizes.size();
  const std::vector<std::byte>& segment = world.segments[which];
  const size_t offset = size_t{8} * (in[1] | in[2] << 8) % 65'536;
  const size_t length = std::min<size_t>(size_t{8} * (in[3] | (in[4] & 15) << 8), 9000);
  const uint8_t how = in[5];
  std::vector<std::byte> data;
  if (offset < segment.size()) {
    const size_t n = std::min(length, segment.size() - offset);
    data.assign(segment.begin() + static_cast<ptrdiff_t>(offset),
                segment.begin() + static_cast<ptrdiff_t>(offset + n));
  } else {
    data.resize(length);
  }
  if ((how & 1) != 0 && data.size() >= 2) data[(data.size() / 2 - 1) | 1] |= std::byte{1};
  bool more = offset + data.size() < segment.size();
  if ((how & 2) != 0) more = !more;
  const Fragment f{.source = world.peer.remote_address,
                   .destination = world.peer.local_address,
                   .from = {2, 0, 0, 0, 0, 9},
                   .id = static_cast<uint32_t>(which + (how & 4)),
                   .offset = offset,
                   .more = more,
                   .data = data};
  LargeDatagram* const done = reassembler->add(f, world.us, now_us);
  if (done == nullptr) return;
  FUZZ_CHECK(done->segment_bytes <= kSegmentBytesMax);
  bool known = false;
  for (const auto& s : world.segments) {
    known = known || equal(done->segment().first(done->segment_bytes), s);
  }
  FUZZ_CHECK(known);
  fuzz::touch(done->payload());
  memory->give(done);
}

void sort(const World& world, Reassembler* reassembler, Memory* memory, Bytes frame) {
  Datagram d;
  Fragment f;
  const Verdict v = sort_frame(frame, world.us, {.ip_header = true, .udp = true}, &d, &f);
  if (v == Verdict::kDatagram) FUZZ_CHECK(fuzz::inside(d.payload, frame));
  if (v != Verdict::kFragment) return;
  FUZZ_CHECK(fuzz::inside(f.data, frame));
  fuzz::touch(f.data);
  if (LargeDatagram* const done = reassembler->add(f, world.us, 0)) memory->give(done);
}

}  // namespace
}  // namespace dinomo::ingress

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dinomo::ingress;
  static World world;
  Memory& memory = world.memory;
  {
    Reassembler reassembler({.slots = 4, .slots_per_source = 4, .timeout_us = 100}, &memory);
    sort(world, &reassembler, &memory, std::as_bytes(std::span(data, size)));
    for (size_t at = 0; at + kStepBytes <= size; at += kStepBytes) {
      step(world, &reassembler, &memory, data + at, at);
    }
    FUZZ_CHECK(memory.free() + 4 >= Memory::kCount);
  }
  FUZZ_CHECK(memory.free() == Memory::kCount);
  return 0;
}
