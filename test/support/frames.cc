// SPDX-License-Identifier: BSD-3-Clause
#include "test/support/frames.h"

#include <algorithm>
#include <cstring>

namespace dinomo::test {

namespace {

void append(Frame* f, Bytes data) { f->insert(f->end(), data.begin(), data.end()); }

template <size_t N>
void append(Frame* f, const std::array<uint8_t, N>& data) {
  for (uint8_t b : data) f->push_back(std::byte{b});
}

void append8(Frame* f, unsigned value) { f->push_back(static_cast<std::byte>(value)); }

void append16(Frame* f, unsigned value) {
  append8(f, value >> 8);
  append8(f, value & 0xff);
}

void append4(Frame* f, const ingress::IpAddress& a) {
  for (size_t i = 12; i < 16; ++i) append8(f, a[i]);
}

uint32_t add_words(Bytes data, uint32_t sum) {
  for (size_t i = 0; i < data.size(); i += 2) {
    sum += std::to_integer<uint32_t>(data[i]) << 8;
    if (i + 1 < data.size()) sum += std::to_integer<uint32_t>(data[i + 1]);
  }
  return sum;
}

template <size_t N>
void take(Bytes frame, size_t at, std::array<uint8_t, N>* out) {
  std::memcpy(out->data(), frame.data() + at, N);
}

}  // namespace

ingress::IpAddress ip(const std::string& text) { return ingress::parse_address(text)->address; }

uint16_t internet_checksum(Bytes data, uint32_t sum) {
  sum = add_words(data, sum);
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

uint16_t segment_checksum(const ingress::IpAddress& from, const ingress::IpAddress& to,
                          uint8_t protocol, Bytes segment) {
  Frame pseudo;
  if (ingress::is_ipv4(from)) {
    append4(&pseudo, from);
    append4(&pseudo, to);
  } else {
    append(&pseudo, from);
    append(&pseudo, to);
  }
  append16(&pseudo, protocol);
  append16(&pseudo, static_cast<unsigned>(segment.size()));
  return internet_checksum(segment, add_words(pseudo, 0));
}

Frame ip_frame(const Station& from, const Station& to, uint8_t protocol, Bytes segment,
               uint8_t hops) {
  const bool v4 = ingress::is_ipv4(from.ip);
  Frame f;
  append(&f, to.mac);
  append(&f, from.mac);
  append16(&f, v4 ? 0x0800 : 0x86dd);
  if (v4) {
    append16(&f, 0x4500);
    append16(&f, static_cast<unsigned>(20 + segment.size()));
    append16(&f, 0x1234);
    append16(&f, 0x4000);
    append8(&f, hops);
    append8(&f, protocol);
    append16(&f, 0);
    append4(&f, from.ip);
    append4(&f, to.ip);
    put16(&f, 24, internet_checksum(Bytes(f).subspan(14, 20)));
  } else {
    append16(&f, 0x6000);
    append16(&f, 0);
    append16(&f, static_cast<unsigned>(segment.size()));
    append8(&f, protocol);
    append8(&f, hops);
    append(&f, from.ip);
    append(&f, to.ip);
  }
  append(&f, segment);
  return f;
}

namespace {

Frame udp_segment(const Station& from, const Station& to, Bytes payload) {
  Frame s;
  append16(&s, from.port);
  append16(&s, to.port);
  append16(&s, static_cast<unsigned>(8 + payload.size()));
  append16(&s, 0);
  append(&s, payload);
  const uint16_t sum = segment_checksum(from.ip, to.ip, 17, s);
  put16(&s, 6, sum != 0 ? sum : 0xffff);
  return s;
}

}  // namespace

Frame udp_frame(const Station& from, const Station& to, Bytes payload) {
  return ip_frame(from, to, 17, udp_segment(from, to, payload));
}

Frame fragment_frame(const Station& from, const Station& to, Bytes data, uint32_t id, size_t offset,
                     bool more) {
  if (!ingress::is_ipv4(from.ip)) {
    Frame body;
    append8(&body, 17);
    append8(&body, 0);
    append16(&body, static_cast<unsigned>(offset | (more ? 1 : 0)));
    append16(&body, id >> 16);
    append16(&body, id & 0xffff);
    append(&body, data);
    return ip_frame(from, to, 44, body);
  }
  Frame f = ip_frame(from, to, 17, data);
  put16(&f, 18, static_cast<uint16_t>(id));
  put16(&f, 20, static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0)));
  put16(&f, 24, 0);
  put16(&f, 24, internet_checksum(Bytes(f).subspan(14, 20)));
  return f;
}

std::vector<Frame> udp_fragments(const Station& from, const Station& to, Bytes payload, uint32_t id,
                                 size_t data_bytes) {
  const Frame segment = udp_segment(from, to, payload);
  std::vector<Frame> frames;
  for (size_t at = 0; at < segment.size(); at += data_bytes) {
    const size_t n = std::min(data_bytes, segment.size() - at);
    frames.push_back(
        fragment_frame(from, to, Bytes(segment).subspan(at, n), id, at, at + n < segment.size()));
  }
  return frames;
}

std::optional<ReadDatagram> read_fragments(const std::vector<Frame>& frames) {
  Frame segment;
  Station from;
  Station to;
  std::optional<uint32_t> id;
  bool v4 = false;
  for (size_t i = 0; i < frames.size(); ++i) {
    const Frame& f = frames[i];
    if (f.size() < 35) return std::nullopt;
    v4 = be16(f, 12) == 0x0800;
    if (!v4 && f.size() < 63) return std::nullopt;
    const uint16_t bits = be16(f, v4 ? 20 : 56);
    const size_t offset = v4 ? size_t{8} * (bits & 0x1fff) : bits & 0xfff8u;
    const bool more = (bits & (v4 ? 0x2000 : 1)) != 0;
    const size_t headers = v4 ? 34 : 62;
    const size_t length = v4 ? be16(f, 16) + 14u : be16(f, 18) + 54u;
    const uint32_t this_id = v4 ? be16(f, 18) : uint32_t{be16(f, 58)} << 16 | be16(f, 60);
    if (length > f.size() || length <= headers || offset != segment.size()) return std::nullopt;
    if (more != (i + 1 < frames.size()) || (id && *id != this_id)) return std::nullopt;
    if (v4 && internet_checksum(Bytes(f).subspan(14, 20)) != 0) return std::nullopt;
    if (std::to_integer<int>(f[v4 ? 23 : 54]) != 17) return std::nullopt;
    id = this_id;
    segment.insert(segment.end(), f.begin() + static_cast<ptrdiff_t>(headers),
                   f.begin() + static_cast<ptrdiff_t>(length));
    std::memcpy(to.mac.data(), f.data(), 6);
    std::memcpy(from.mac.data(), f.data() + 6, 6);
    if (v4) {
      uint32_t words[2];
      std::memcpy(words, f.data() + 26, sizeof words);
      from.ip = ingress::mapped_ipv4(words[0]);
      to.ip = ingress::mapped_ipv4(words[1]);
    } else {
      std::memcpy(from.ip.data(), f.data() + 22, 16);
      std::memcpy(to.ip.data(), f.data() + 38, 16);
    }
  }
  if (segment.size() < 8 || be16(segment, 4) != segment.size() || be16(segment, 6) == 0 ||
      segment_checksum(from.ip, to.ip, 17, segment) != 0) {
    return std::nullopt;
  }
  from.port = be16(segment, 0);
  to.port = be16(segment, 2);
  return ReadDatagram{from, to, Frame(segment.begin() + 8, segment.end())};
}

Frame arp_request(const Station& from, const ingress::IpAddress& target) {
  Frame f(6, std::byte{0xff});
  append(&f, from.mac);
  append16(&f, 0x0806);
  append16(&f, 1);
  append16(&f, 0x0800);
  append16(&f, 0x0604);
  append16(&f, 1);
  append(&f, from.mac);
  append4(&f, from.ip);
  f.resize(f.size() + 6);
  append4(&f, target);
  return f;
}

Frame echo_request(const Station& from, const Station& to, Bytes data) {
  const bool v4 = ingress::is_ipv4(from.ip);
  Frame s;
  append16(&s, v4 ? 0x0800 : 0x8000);
  append16(&s, 0);
  append16(&s, 0x4242);
  append16(&s, 7);
  append(&s, data);
  put16(&s, 2, v4 ? internet_checksum(s) : segment_checksum(from.ip, to.ip, 58, s));
  return ip_frame(from, to, v4 ? 1 : 58, s);
}

Frame solicitation(const Station& from, const ingress::IpAddress& target, uint8_t hops) {
  Station group{.mac = {0x33, 0x33, 0xff, target[13], target[14], target[15]},
                .ip = ip("ff02::1:ff00:0")};
  std::copy(target.begin() + 13, target.end(), group.ip.begin() + 13);
  Frame s;
  append16(&s, 0x8700);
  append16(&s, 0);
  append16(&s, 0);
  append16(&s, 0);
  append(&s, target);
  if (from.ip != ingress::IpAddress{}) {
    append16(&s, 0x0101);
    append(&s, from.mac);
  }
  put16(&s, 2, segment_checksum(from.ip, group.ip, 58, s));
  return ip_frame(from, group, 58, s, hops);
}

std::optional<ReadDatagram> read_udp(Bytes frame) {
  if (frame.size() < 42) return std::nullopt;
  ReadDatagram out;
  take(frame, 0, &out.to.mac);
  take(frame, 6, &out.from.mac);
  Bytes segment;
  if (be16(frame, 12) == 0x0800) {
    if (be16(frame, 14) != 0x4500 || std::to_integer<int>(frame[23]) != 17 ||
        be16(frame, 16) > frame.size() - 14 || internet_checksum(frame.subspan(14, 20)) != 0) {
      return std::nullopt;
    }
    out.from.ip = ingress::mapped_ipv4(load<uint32_t>(frame.data() + 26));
    out.to.ip = ingress::mapped_ipv4(load<uint32_t>(frame.data() + 30));
    segment = frame.subspan(34, be16(frame, 16) - 20u);
  } else {
    if (be16(frame, 12) != 0x86dd || frame.size() < 62 || std::to_integer<int>(frame[20]) != 17 ||
        be16(frame, 18) > frame.size() - 54) {
      return std::nullopt;
    }
    take(frame, 22, &out.from.ip);
    take(frame, 38, &out.to.ip);
    segment = frame.subspan(54, be16(frame, 18));
  }
  if (be16(segment, 4) != segment.size() || be16(segment, 6) == 0 ||
      segment_checksum(out.from.ip, out.to.ip, 17, segment) != 0) {
    return std::nullopt;
  }
  out.from.port = be16(segment, 0);
  out.to.port = be16(segment, 2);
  out.payload.assign(segment.begin() + 8, segment.end());
  return out;
}

uint16_t be16(Bytes frame, size_t at) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(frame[at]) << 8 |
                               std::to_integer<unsigned>(frame[at + 1]));
}

void put16(Frame* frame, size_t at, uint16_t value) {
  (*frame)[at] = static_cast<std::byte>(value >> 8);
  (*frame)[at + 1] = static_cast<std::byte>(value & 0xff);
}

Frame bytes(size_t count, uint8_t seed) {
  Frame f(count);
  uint32_t state = seed * 2654435761u + 1;
  for (std::byte& b : f) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(state >> 24);
  }
  return f;
}

}  // namespace dinomo::test
