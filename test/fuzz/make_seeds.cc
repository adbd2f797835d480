// SPDX-License-Identifier: BSD-3-Clause
// Writes the seed corpora: small valid inputs that a fuzzer starts from.
// usage: make_seeds datagram|log|memcached|reassembly DIRECTORY
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "log/format.h"
#include "wire/codec.h"

namespace {

using dinomo::as_bytes;
using dinomo::Bytes;
using dinomo::object_bytes;

void write_file(const std::filesystem::path& path, Bytes bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

void datagrams(const std::filesystem::path& folder) {
  namespace wire = dinomo::wire;
  struct Seed {
    wire::Opcode opcode;
    std::vector<std::byte> extras;
    std::string value;
  };
  const auto extras = [](const auto& object) {
    const Bytes bytes = object_bytes(object);
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  const std::vector<Seed> seeds = {
      {wire::Opcode::kHello, extras(wire::HelloExtras{64, 0, 0}), std::string(96, '\0')},
      {wire::Opcode::kPing, {}, ""},
      {wire::Opcode::kRing, extras(wire::RingExtras{}), ""},
      {wire::Opcode::kGet, {}, ""},
      {wire::Opcode::kPut, extras(wire::PutExtras{1000, 7, 0}), "value"},
      {wire::Opcode::kCas, extras(wire::CasExtras{1, {}}), "17"},
      {wire::Opcode::kIncr, extras(wire::CounterExtras{1, 0, 0, 1, 0}), ""},
      {wire::Opcode::kDecr, extras(wire::CounterExtras{20, 0, 0, 0, 0}), ""},
      {wire::Opcode::kAppend, {}, "9"},
      {wire::Opcode::kPrepend, extras(wire::PutExtras{}), "1"},
      {wire::Opcode::kReplace, {}, "5"},
      {wire::Opcode::kTouch, extras(wire::TouchExtras{5000}), ""},
      {wire::Opcode::kGetAndTouch, extras(wire::TouchExtras{1}), ""},
      {wire::Opcode::kDelete, {}, ""},
      {wire::Opcode::kAdd, {}, "18446744073709551615"},
      {wire::Opcode::kIncr, extras(wire::CounterExtras{2, 0, 0, 0, 0}), ""},
  };
  for (const auto kind : {wire::Kind::kRequest, wire::Kind::kReply}) {
    wire::DatagramHeader header{};
    header.magic = wire::kMagic;
    header.version = wire::kVersion;
    header.kind = static_cast<uint8_t>(kind);
    header.session = 1;
    alignas(8) std::byte all_room[wire::kDatagramBytesMax];
    wire::Writer all(all_room, header);
    uint64_t sequence = 0;
    for (const Seed& seed : seeds) {
      wire::MessageHeader m{};
      m.opcode = static_cast<uint8_t>(seed.opcode);
      m.sequence = ++sequence;
      alignas(8) std::byte room[wire::kDatagramBytesMax];
      wire::Writer one(room, header);
      if (!one.append(m, seed.extras, as_bytes("key"), as_bytes(seed.value)) ||
          !all.append(m, seed.extras, as_bytes("key"), as_bytes(seed.value))) {
        std::cerr << "make_seeds: a seed does not fit\n";
        std::exit(1);
      }
      write_file(folder / (std::string(wire::opcode_name(seed.opcode)) +
                           std::to_string(static_cast<int>(kind))),
                 one.finish());
    }
    write_file(folder / ("all" + std::to_string(static_cast<int>(kind))), all.finish());
  }
}

void segments(const std::filesystem::path& folder) {
  namespace log = dinomo::log;
  for (const size_t value_bytes : {0, 8, 100, 1000}) {
    std::vector<std::byte> segment(sizeof(dinomo::pool::SegmentHeader));
    uint64_t lsn = 1000;
    for (const auto op : {log::Op::kPut, log::Op::kDelete, log::Op::kOutcome, log::Op::kEnd}) {
      const std::string key = op == log::Op::kPut || op == log::Op::kDelete ? "some key" : "";
      const std::string value(op == log::Op::kPut ? value_bytes : 0, 'v');
      const size_t at = segment.size();
      segment.resize(at + log::entry_bytes(key.size(), value.size()));
      log::EntryFields fields;
      fields.lsn = lsn++;
      fields.generation = 0x107;
      fields.log_id = 3;
      fields.op = op;
      log::build_entry(segment.data() + at, fields, as_bytes(key), as_bytes(value));
      write_file(folder / ("entry" + std::to_string(value_bytes) + "_" +
                           std::to_string(static_cast<int>(op))),
                 Bytes(segment).subspan(at));
    }
    write_file(folder / ("segment" + std::to_string(value_bytes)), segment);
  }
}

/// Steps for reassembly_fuzz: datagrams whole, in and against their order, and a mixture.
void fragments(const std::filesystem::path& folder) {
  constexpr size_t kUnits = 175;  // of 8 bytes: 1400
  constexpr size_t kSizes[] = {8, 9, 600, 1481, 3000, 5003, 20'000, 65'515};
  std::vector<std::byte> mixture;
  for (size_t which = 0; which < std::size(kSizes); ++which) {
    std::vector<std::byte> steps;
    std::vector<std::byte> backwards;
    for (size_t at = 0; at * 8 < kSizes[which]; at += kUnits) {
      const uint8_t step[] = {static_cast<uint8_t>(which),       static_cast<uint8_t>(at),
                              static_cast<uint8_t>(at >> 8),     static_cast<uint8_t>(kUnits),
                              static_cast<uint8_t>(kUnits >> 8), 0};
      const auto bytes = std::as_bytes(std::span(step));
      steps.insert(steps.end(), bytes.begin(), bytes.end());
      backwards.insert(backwards.begin(), bytes.begin(), bytes.end());
      if (which < 6) mixture.insert(mixture.end(), bytes.begin(), bytes.end());
    }
    write_file(folder / ("forward" + std::to_string(which)), steps);
    write_file(folder / ("backward" + std::to_string(which)), backwards);
  }
  write_file(folder / "mixture", mixture);
}

/// The protocol's own text, behind the frame of a datagram: every command, good and bad.
void memcached_requests(const std::filesystem::path& folder) {
  const std::vector<std::string> texts = {
      "get key\r\n",
      "gets key another-key\r\n",
      "gat 60 key key\r\ngats -1 key\r\n",
      "set key 4294967295 0 5\r\nvalue\r\n",
      "add key 1 2592001 5 noreply\r\nval\r\n\r\nget key\r\n",
      "replace key 0 -1 0\r\n\r\n",
      "append key 0 0 3\r\nabcprepend key 0 0 2\r\nab\r\n",
      "cas key 0 0 5 18446744073709551615\r\nvalue\r\n",
      "incr key 18446744073709551615\r\ndecr key 1 noreply\r\n",
      "delete key 0 noreply\r\ntouch key 100\r\n",
      "version\r\nstats settings\r\nverbosity 1\r\nflush_all 10 noreply\r\nquit\r\n",
      "mg key v k c f s t u O123 q T60 P1 L/a\r\n",
      "mg YmluYXJ5IGtleQ== b k v\r\n",
      "ms key 5 c F7 T60 ME O1 C99\r\nvalue\r\n",
      "ms YQ== 2 b k MA q\r\nab\r\nmn\r\n",
      "md key q O7 k\r\nmd key I T30\r\n",
      "ma key N60 J13 D2 MD v t c\r\nma key M- q\r\n",
      "set key 0 0 4294967295\r\nmn\r\n",
  };
  std::string all;
  const auto write = [&](const std::string& name, const std::string& text) {
    write_file(folder / name, as_bytes(std::string("\x12\x34\0\0\0\1\0\0", 8) + text));
  };
  for (size_t i = 0; i < texts.size(); ++i) {
    write("command" + std::to_string(i), texts[i]);
    all += texts[i];
  }
  write("all", all);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc == 3 ? argv[1] : "";
  if (kind != "datagram" && kind != "log" && kind != "memcached" && kind != "reassembly") {
    std::cerr << "usage: make_seeds datagram|log|memcached|reassembly DIRECTORY\n";
    return 2;
  }
  std::filesystem::create_directories(argv[2]);
  if (kind == "datagram") {
    datagrams(argv[2]);
  } else if (kind == "memcached") {
    memcached_requests(argv[2]);
  } else if (kind == "reassembly") {
    fragments(argv[2]);
  } else {
    segments(argv[2]);
  }
  return 0;
}
