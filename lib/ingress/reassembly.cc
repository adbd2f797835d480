// SPDX-License-Identifier: BSD-3-Clause
// Putting fragments together.
#include <algorithm>
#include <cstring>

#include "ingress/fragment.h"

namespace dinomo::ingress {

namespace {

uint32_t word(const IpAddress& address, size_t at) noexcept {
  return load<uint32_t>(reinterpret_cast<const std::byte*>(address.data()) + at);
}

/// Any function of the key will do: a hit is compared in full. Never 0.
uint32_t tag_of(const Fragment& f) noexcept {
  uint32_t tag = f.id;
  for (size_t at = 0; at < sizeof(IpAddress); at += 4) {
    tag = std::rotl(tag, 7) ^ word(f.source, at) ^ std::rotl(word(f.destination, at), 16);
  }
  return tag | 1;
}

size_t first_unit(const Fragment& f) noexcept { return f.offset / 8; }
size_t end_unit(const Fragment& f) noexcept { return (f.offset + f.data.size() + 7) / 8; }

/// Calls `each(word, mask)` for the words of a bitmap that the units [first, end) touch.
template <class Each>
void for_words(size_t first, size_t end, Each each) noexcept {
  while (first < end) {
    const size_t stop = std::min(end, (first / 64 + 1) * 64);
    const size_t count = stop - first;
    const uint64_t ones = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
    each(first / 64, ones << first % 64);
    first = stop;
  }
}

bool sound(const Fragment& f) noexcept {
  const size_t end = f.offset + f.data.size();
  if (f.data.empty() || end > kSegmentBytesMax) return false;
  if (f.more && (f.data.size() % 8 != 0 || f.data.size() < kFragmentBytesMin)) return false;
  return f.offset != 0 || f.data.size() >= sizeof(UdpHeader);
}

bool for_us(const UdpHeader& udp, const Endpoint& us) noexcept {
  return udp.source != 0 && us.owns_port(net16(udp.destination));
}

}  // namespace

Reassembler::Reassembler(const ReassemblyConfig& config, LargeDatagrams* memory)
    : config_(config), memory_(memory), slots_(config.slots), tags_(config.slots) {}

Reassembler::~Reassembler() { clear(); }

void Reassembler::clear() noexcept {
  for (Slot& s : slots_) release(&s);
}

LargeDatagram* Reassembler::add(const Fragment& f, const Endpoint& us, uint64_t now_us) noexcept {
  ++counters_.fragments;
  if (!sound(f) || (f.offset == 0 && !for_us(load<UdpHeader>(f.data.data()), us))) {
    ++counters_.refused;
    return nullptr;
  }
  Slot* slot = find(f);
  if (slot != nullptr && now_us - slot->first_us > config_.timeout_us) {
    ++counters_.timeouts;  // an id that has come round again
    release(slot);
    slot = nullptr;
  }
  if (slot == nullptr) slot = open(f, now_us);
  if (slot == nullptr) return nullptr;
  slot->touched = counters_.fragments;
  if (slot->state == State::kDead || !fits(slot, f)) {
    ++counters_.refused;
    return nullptr;
  }
  switch (look_up(*slot, f)) {
    case Range::kKnown: return nullptr;
    case Range::kOverlap:
      ++counters_.refused;
      kill(slot);
      return nullptr;
    case Range::kNew: break;
  }
  std::memcpy(slot->datagram->segment().data() + f.offset, f.data.data(), f.data.size());
  mark(slot, f);
  if (f.offset == 0) slot->datagram->peer.remote_mac = f.from;
  return slot->received == slot->total ? finish(slot, us) : nullptr;
}

Reassembler::Slot* Reassembler::find(const Fragment& f) noexcept {
  const uint32_t tag = tag_of(f);
  for (size_t i = 0; i < tags_.size(); ++i) {
    if (tags_[i] != tag) continue;
    Slot& s = slots_[i];
    if (s.id == f.id && s.source == f.source && s.destination == f.destination) return &s;
  }
  return nullptr;
}

/// A free slot, or one that is given up for `f`: an expired one, else, if its source has too many,
/// the source's least recently touched, else that of all.
Reassembler::Slot* Reassembler::choose(const Fragment& f, uint64_t now_us) noexcept {
  Slot* free = nullptr;
  Slot* oldest = nullptr;
  Slot* oldest_of_source = nullptr;
  uint32_t of_source = 0;
  for (Slot& s : slots_) {
    if (s.state != State::kFree && now_us - s.first_us > config_.timeout_us) {
      if (s.state == State::kOpen) ++counters_.timeouts;
      release(&s);
    }
    if (s.state == State::kFree) {
      free = &s;
      continue;
    }
    if (oldest == nullptr || s.touched < oldest->touched) oldest = &s;
    if (s.source != f.source) continue;
    ++of_source;
    if (oldest_of_source == nullptr || s.touched < oldest_of_source->touched) {
      oldest_of_source = &s;
    }
  }
  const bool too_many = of_source >= config_.slots_per_source;
  if (free != nullptr && !too_many) return free;
  Slot* const victim = too_many ? oldest_of_source : oldest;
  if (victim == nullptr) return nullptr;  // configured to have none
  if (victim->state == State::kOpen) ++counters_.evicted;
  release(victim);
  return victim;
}

Reassembler::Slot* Reassembler::open(const Fragment& f, uint64_t now_us) noexcept {
  Slot* const slot = choose(f, now_us);
  if (slot != nullptr) slot->datagram = memory_->take();
  if (slot == nullptr || slot->datagram == nullptr) {
    ++counters_.no_buffer;
    return nullptr;
  }
  slot->state = State::kOpen;
  slot->source = f.source;
  slot->destination = f.destination;
  slot->id = f.id;
  slot->first_us = now_us;
  slot->total = slot->end = slot->received = 0;
  slot->have.fill(0);
  tags_[static_cast<size_t>(slot - slots_.data())] = tag_of(f);
  return slot;
}

/// The end of the datagram is where the fragment without "more" ends, and nothing lies beyond it.
bool Reassembler::fits(Slot* slot, const Fragment& f) noexcept {
  const size_t end = f.offset + f.data.size();
  const bool wrong = f.more ? slot->total != 0 && end >= slot->total
                            : (slot->total != 0 && slot->total != end) || slot->end > end;
  if (wrong) {
    kill(slot);
    return false;
  }
  if (!f.more) slot->total = end;
  return true;
}

Reassembler::Range Reassembler::look_up(const Slot& slot, const Fragment& f) noexcept {
  bool any = false;
  bool all = true;
  for_words(first_unit(f), end_unit(f), [&](size_t at, uint64_t mask) {
    any = any || (slot.have[at] & mask) != 0;
    all = all && (slot.have[at] & mask) == mask;
  });
  if (!any) return Range::kNew;
  const Bytes before = slot.datagram->segment().subspan(f.offset, f.data.size());
  return all && equal(before, f.data) ? Range::kKnown : Range::kOverlap;
}

void Reassembler::mark(Slot* slot, const Fragment& f) noexcept {
  for_words(first_unit(f), end_unit(f), [&](size_t at, uint64_t mask) { slot->have[at] |= mask; });
  slot->received += f.data.size();
  slot->end = std::max(slot->end, f.offset + f.data.size());
}

LargeDatagram* Reassembler::finish(Slot* slot, const Endpoint& us) noexcept {
  LargeDatagram* const d = slot->datagram;
  const auto udp = load<UdpHeader>(d->segment().data());
  d->segment_bytes = slot->total;
  d->peer.remote_address = slot->source;
  d->peer.local_address = slot->destination;
  d->peer.remote_port = net16(udp.source);
  d->peer.local_port = net16(udp.destination);
  // As large_udp_checksum(), which is symmetric in the two addresses, over a stretch that holds its
  // own checksum.
  const size_t payload_bytes = slot->total - sizeof(UdpHeader);
  const uint64_t sum = sum_words(d->segment().first(slot->total));
  const bool intact = net16(udp.bytes) == slot->total && udp.checksum != 0 &&
                      large_udp_checksum(d->peer, payload_bytes, sum) == 0xffff;
  if (!intact || !for_us(udp, us)) {
    ++counters_.checksum;
    release(slot);
    return nullptr;
  }
  ++counters_.datagrams;
  slot->datagram = nullptr;
  release(slot);
  return d;
}

void Reassembler::kill(Slot* slot) noexcept {
  slot->state = State::kDead;
  memory_->give(slot->datagram);
  slot->datagram = nullptr;
}

void Reassembler::release(Slot* slot) noexcept {
  if (slot->datagram != nullptr) memory_->give(slot->datagram);
  slot->datagram = nullptr;
  slot->state = State::kFree;
  tags_[static_cast<size_t>(slot - slots_.data())] = 0;
}

}  // namespace dinomo::ingress
